package kubo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
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
	// answering bounds a call that Kubo answers by itself; a put of a record
	// into the public DHT takes its time.
	answering = 2 * time.Minute
	// silent bounds the wait for the first byte of an answer in which much of
	// the disk is read: a pin's.
	silent = time.Hour
	// maxAnswer is the largest answer that is read whole, in bytes, unless a
	// call says less; maxList that of a stream of lines.
	maxAnswer, maxList = 1 << 20, 256 << 20
)

// errDown says that nobody, or nobody like a Kubo, answers at the address.
var errDown = errors.New("is the Kubo there running (ipfs daemon), and its RPC at that address (ipfs config Addresses.API)?")

// A failure is what Kubo says when it could not do what was asked.
type failure struct {
	Message string
}

func (f *failure) Error() string { return fmt.Sprintf("Kubo says: %.300q", f.Message) }

// lacks tells whether Kubo said that it has not a block here.
func lacks(err error) bool {
	f := (*failure)(nil)
	return errors.As(err, &f) && (strings.Contains(f.Message, "could not find") || strings.Contains(f.Message, "not found") || strings.Contains(f.Message, "failed to fetch all nodes"))
}

// rpc is one Kubo's RPC. Its answers are bounded and nothing in them is
// believed that could be checked.
type rpc struct {
	at   string
	auth string // the header that opens it; no error tells it
	http *http.Client
}

// dial makes an rpc of an address such as http://127.0.0.1:5001. It does not
// connect.
func dial(address, auth string) (*rpc, error) {
	u, err := url.Parse(address)
	if err == nil && u.User != nil {
		return nil, errors.New("the RPC of a Kubo is without its secret: give that as the setting kubo-auth")
	}
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the RPC %.200q of a Kubo is not like http://127.0.0.1:5001", address)
	}
	if secret, basic := strings.CutPrefix(auth, "basic:"); basic {
		auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(secret))
	} else if auth != "" {
		auth = "Bearer " + strings.TrimPrefix(auth, "bearer:")
	}
	return &rpc{
		at: strings.TrimSuffix(u.String(), "/"), auth: auth,
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("an RPC does not redirect")
		}, Transport: &http.Transport{
			MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: silent, // no proxy: it is ours
		}},
	}, nil
}

// args is a query of key and value pairs.
func args(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return "?" + v.Encode()
}

// send makes a call. The caller closes the body, which has no more than most
// bytes, an answer of more being an error of Read.
func (r *rpc) send(ctx context.Context, what, query, kind string, body io.Reader, most int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.at+"/api/v0/"+what+query, body)
	if err != nil {
		return nil, fmt.Errorf("ask Kubo: %w", err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if r.auth != "" {
		req.Header.Set("Authorization", r.auth)
	}
	res, err := r.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // what was asked is long, and says nothing
		}
		return nil, fmt.Errorf("ask Kubo at %s: %w: %w; %w", r.at, node.ErrNotFound, err, errDown)
	}
	res.Body = &capped{res.Body, most}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
	said := failure{}
	switch {
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return nil, fmt.Errorf("the Kubo at %s lets nobody in without the right secret (API.Authorizations in its config): set kubo-auth to bearer:TOKEN or basic:USER:PASSWORD (%s: %.100q)", r.at, res.Status, text)
	case res.StatusCode == http.StatusInternalServerError && json.Unmarshal(text, &said) == nil && said.Message != "":
		return nil, &said
	}
	return nil, fmt.Errorf("ask Kubo at %s for %s: %w: %s: %.100q; %w", r.at, what, node.ErrNotFound, res.Status, text, errDown)
}

// call reads an answer whole, of at most so many bytes.
func (r *rpc) call(ctx context.Context, what, query, kind string, body io.Reader, most int64) ([]byte, error) {
	res, err := r.send(ctx, what, query, kind, body, most)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("ask Kubo at %s for %s: %w", r.at, what, err)
	}
	return data, nil
}

// ask decodes an answer into v; nil drops it.
func (r *rpc) ask(ctx context.Context, what, query string, v any) error {
	data, err := r.call(ctx, what, query, "", nil, maxAnswer)
	if err == nil && v != nil {
		if err = json.Unmarshal(data, v); err != nil {
			err = fmt.Errorf("ask Kubo at %s for %s: %w", r.at, what, err)
		}
	}
	return err
}

// lines decodes a stream of documents, and hands each to f.
func lines[T any](ctx context.Context, r *rpc, what, query string, f func(T) error) error {
	res, err := r.send(ctx, what, query, "", nil, maxList)
	if err != nil {
		return err
	}
	return each(r, what, res, f)
}

// give sends files, and hands each document of the answer to f.
func give[T any](ctx context.Context, r *rpc, what, query, name string, files [][]byte, f func(T)) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	kind, body, err := file(name, files...)
	if err != nil {
		return err
	}
	res, err := r.send(ctx, what, query, kind, body, maxAnswer)
	if err == nil {
		err = each(r, what, res, func(line T) error { f(line); return nil })
	}
	return full(err)
}

// each decodes an answer of many documents, and closes it.
func each[T any](r *rpc, what string, res *http.Response, f func(T) error) error {
	defer res.Body.Close()
	for dec := json.NewDecoder(res.Body); ; {
		var line T
		if err := dec.Decode(&line); err == io.EOF {
			break
		} else if err != nil {
			return fmt.Errorf("ask Kubo at %s for %s: %w", r.at, what, err)
		}
		if err := f(line); err != nil {
			return err
		}
	}
	if late := res.Trailer.Get("X-Stream-Error"); late != "" {
		return &failure{late}
	}
	return nil
}

// file is a form of files, as calls take them that write.
func file(name string, files ...[]byte) (kind string, body io.Reader, err error) {
	var b bytes.Buffer
	size := 0
	for _, data := range files {
		size += len(data) + 1<<8
	}
	b.Grow(size)
	form := multipart.NewWriter(&b)
	for _, data := range files {
		part, err := form.CreateFormFile(name, name)
		if err == nil {
			_, err = part.Write(data)
		}
		if err != nil {
			return "", nil, err
		}
	}
	return form.FormDataContentType(), &b, form.Close()
}

// capped is a body that ends in an error beyond left bytes.
type capped struct {
	io.ReadCloser
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.ReadCloser.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("the answer is longer than it may be: %w", node.ErrNotFound)
	}
	return n, err
}
