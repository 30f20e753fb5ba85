// Package http speaks trustless gateways and delegated routing, both ways:
// Client reads blocks from a gateway, Router puts and gets IPNS records at a
// routing server, and NewHandler serves this box's blocks and records as both.
//
// What comes in: bytes from gateways and requests from anyone. What goes out:
// blocks that hash to their CID; to requesters, raw blocks, CARs and signed
// IPNS records, never deserialized content. What is trusted: nothing.
package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

const (
	rawType    = "application/vnd.ipld.raw"
	recordType = "application/vnd.ipfs.ipns-record"
	// maxRecord is the largest IPNS record that the standard allows, in bytes.
	maxRecord = 10 << 10
)

// ClientConfig is how a Client reaches its gateway.
type ClientConfig struct {
	// URL is the gateway's root, such as "https://gateway.example". Required.
	URL string
	// HTTP is the client used; nil means one of its own, with a limit of 60 s
	// a request and 3 redirects.
	HTTP *http.Client
	// Allow, when set, judges every address before it is dialled, those that
	// redirects lead to as well; no proxy is used then. It does not go with
	// HTTP.
	Allow func(netip.Addr) error
	// Line, when set, is shared by all connections. It does not go with HTTP.
	Line *node.Line
}

// Client reads blocks, graphs and IPNS records from one trustless gateway, or
// from files laid out as one. It is a node.Getter and a node.Streamer. Safe
// for concurrent use.
type Client struct {
	root   string
	http   *http.Client // its limit of time is for one block or record
	stream *http.Client // has none
	flat   atomic.Bool  // the host has shown to give no CARs
}

// NewClient makes a Client; it does not dial.
func NewClient(cfg ClientConfig) (*Client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("gateway %.200q is not like https://gateway.example", cfg.URL)
	}
	c := &Client{root: strings.TrimSuffix(u.String(), "/"), http: cfg.HTTP}
	if c.http == nil {
		c.http = ownHTTP(cfg.Allow, cfg.Line)
	}
	endless := *c.http
	endless.Timeout = 0
	c.stream = &endless
	return c, nil
}

// ownHTTP is the client that a Client has unless it is given one.
func ownHTTP(allow func(netip.Addr) error, line *node.Line) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 32 // as many as follow seeks at once
	if line.Narrow() {
		t.MaxConnsPerHost = 2
	}
	dial := t.DialContext
	if allow != nil {
		dial = (&net.Dialer{Timeout: 10 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
			a, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			return allow(a.Addr().Unmap().WithZone(""))
		}}).DialContext
		t.Proxy = nil
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return line.Conn(c), nil
	}
	return &http.Client{Transport: t, Timeout: time.Minute, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > 3 {
			return errors.New("over 3 redirects")
		}
		return nil
	}}
}

// Get reads one block; see node.Getter. Wrong bytes give node.ErrVerify, all
// other refusals and failures of the gateway node.ErrNotFound.
func (c *Client) Get(ctx context.Context, id cid.Cid, w node.Want) ([]byte, error) {
	data, _, err := c.read(urged(ctx, w.Class), "/ipfs/"+id.String()+"?format=raw", rawType, node.MaxBlock)
	switch {
	case err != nil:
	case len(data) > node.MaxBlock: // who made so large a block is not known
		err = fmt.Errorf("over %d bytes: %w", node.MaxBlock, node.ErrNotFound)
	default:
		err = node.Verify(id, data)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s from %s: %w", id, c.root, err)
	}
	return data, nil
}

// Record reads a name's IPNS record, of at most 10 KiB and not verified.
func (c *Client) Record(ctx context.Context, name string) ([]byte, error) {
	data, _, err := c.read(urged(ctx, node.Next), "/ipns/"+url.PathEscape(name)+"?format=ipns-record", recordType, maxRecord)
	if err == nil && len(data) > maxRecord {
		err = errTooLong
	}
	if err != nil {
		return nil, fmt.Errorf("get record of %s from %s: %w", name, c.root, err)
	}
	return data, nil
}

// errTooLong says that an answer is no record, being too long for one.
var errTooLong = fmt.Errorf("over %d bytes: %w", maxRecord, node.ErrNotFound)

// read returns at most limit+1 bytes of an answer, asked for as accept, and
// the type that it says to be.
func (c *Client) read(ctx context.Context, path, accept string, limit int64) (data []byte, kind string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.root+path, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Accept", accept)
	return c.do(req, limit)
}

func (c *Client) do(req *http.Request, limit int64) (data []byte, kind string, err error) {
	ctx := req.Context()
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		return nil, "", fmt.Errorf("%w: %w", node.ErrNotFound, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, "", fmt.Errorf("status %s: %w", res.Status, node.ErrNotFound)
	}
	if data, err = readBody(res, limit+1); err != nil {
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		return nil, "", fmt.Errorf("%w: %w", node.ErrNotFound, err)
	}
	return data, res.Header.Get("Content-Type"), nil
}

// urged has the connection that carries a request know how urgent it is.
func urged(ctx context.Context, class node.Class) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		c := got.Conn
		if t, ok := c.(interface{ NetConn() net.Conn }); ok { // below TLS
			c = t.NetConn()
		}
		if u, ok := c.(node.Urger); ok {
			u.Urge(class)
		}
	}})
}

// readBody reads at most limit bytes of an answer, with one allocation where
// it says how long it is.
func readBody(res *http.Response, limit int64) ([]byte, error) {
	if res.ContentLength <= 0 || res.ContentLength > limit {
		return io.ReadAll(io.LimitReader(res.Body, limit))
	}
	data := make([]byte, res.ContentLength)
	_, err := io.ReadFull(res.Body, data)
	return data, err
}
