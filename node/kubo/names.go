// Package kubo speaks with a running Kubo by its RPC
// (https://docs.ipfs.tech/reference/kubo/rpc/). It carries name records so far:
// a Kubo that takes one puts it into whatever routing it has itself.
//
// What comes in: the address of an RPC, which is trusted as far as whoever may
// open it; it is never to be open to others. What goes out: signed records,
// and records that nobody has verified yet. No key of ours goes there.
package kubo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"playnode/node"
)

const (
	// maxRecord is the largest IPNS record that the standard allows, in bytes.
	maxRecord = 10 << 10
	// answering bounds a call; a put into the public DHT takes its time.
	answering = 2 * time.Minute
)

// Names puts and gets IPNS records at one Kubo. Safe for concurrent use.
type Names struct {
	root string
	http *http.Client
}

// NewNames makes Names of the Kubo whose RPC is at address, such as
// "http://127.0.0.1:5001"; it does not dial.
func NewNames(address string) (*Names, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the RPC %.200q of a Kubo is not like http://127.0.0.1:5001", address)
	}
	return &Names{
		root: strings.TrimSuffix(u.String(), "/") + "/api/v0/name/",
		http: &http.Client{Timeout: answering, CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("an RPC does not redirect")
		}},
	}, nil
}

// Record has Kubo look a name's record up: of at most 10 KiB, not verified.
// One that it does not find gives node.ErrNotFound.
func (n *Names) Record(ctx context.Context, name string) ([]byte, error) {
	data, err := n.call(ctx, "get?arg="+url.QueryEscape(name), "", nil)
	if err != nil {
		return nil, fmt.Errorf("get record of %s from Kubo: %w", name, err)
	}
	return data, nil
}

// PutRecord has Kubo keep a record and hand it on. An error says that it did
// not: it knows one of a higher sequence, say.
func (n *Names) PutRecord(ctx context.Context, name string, raw []byte) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("record", "record")
	if err == nil {
		_, err = file.Write(raw)
	}
	if err == nil {
		err = form.Close()
	}
	if err == nil {
		// One that is offline keeps it until it is not.
		_, err = n.call(ctx, "put?quiet=true&allow-offline=true&arg="+url.QueryEscape(name), form.FormDataContentType(), &body)
	}
	if err != nil {
		return fmt.Errorf("put record of %s to Kubo: %w", name, err)
	}
	return nil
}

func (n *Names) call(ctx context.Context, what, kind string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.root+what, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := n.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", node.ErrNotFound, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxRecord+1))
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: %s: %.200q", node.ErrNotFound, res.Status, data)
	case len(data) > maxRecord:
		return nil, fmt.Errorf("an answer of over %d bytes: %w", maxRecord, node.ErrNotFound)
	}
	return data, nil
}
