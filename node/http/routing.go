package http

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/boxo/ipns"

	"playnode/node"
)

// routingRoot is the Delegated Routing V1 HTTP API, routingPath where it has
// IPNS records.
const (
	routingRoot = "/routing/v1/"
	routingPath = routingRoot + "ipns/"
)

// Router puts and gets IPNS records at one delegated routing server. Safe for
// concurrent use.
type Router struct{ client *Client }

// NewRouter makes a Router for the server at cfg.URL, such as
// "https://routing.example"; it does not dial.
func NewRouter(cfg ClientConfig) (*Router, error) {
	c, err := NewClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("routing server %.200q is not like https://routing.example", cfg.URL)
	}
	return &Router{c}, nil
}

// Record reads a name's record, of at most 10 KiB and not verified.
func (r *Router) Record(ctx context.Context, name string) ([]byte, error) {
	data, kind, err := r.client.read(urged(ctx, node.Next), routingPath+url.PathEscape(name), recordType, maxRecord)
	switch {
	case err != nil:
	case !strings.Contains(kind, recordType): // how a server says that it has none (IPIP-513)
		err = node.ErrNotFound
	case len(data) > maxRecord:
		err = errTooLong
	}
	if err != nil {
		return nil, fmt.Errorf("get record of %s from %s: %w", name, r.client.root, err)
	}
	return data, nil
}

// PutRecord has the server keep and hand on a record. An error says that it
// did not.
func (r *Router) PutRecord(ctx context.Context, name string, raw []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, r.client.root+routingPath+url.PathEscape(name), bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("put record of %s: %w", name, err)
	}
	req.Header.Set("Content-Type", recordType)
	if _, _, err := r.client.do(req, maxRecord); err != nil {
		return fmt.Errorf("put record of %s to %s: %w", name, r.client.root, err)
	}
	return nil
}

var (
	// ErrUnwanted is for HandlerConfig.Put: records of that name are not kept
	// here, whoever brings them.
	ErrUnwanted = errors.New("this name is not kept here")
	// ErrRefused is for HandlerConfig.Put: the record is not good.
	ErrRefused = errors.New("record refused")
)

// records serves IPNS records as the Delegated Routing V1 HTTP API says.
type records struct {
	cfg   HandlerConfig
	slots chan struct{}
}

func (s records) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		http.Error(w, "too many requests", http.StatusTooManyRequests)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	text, ok := strings.CutPrefix(r.URL.Path, routingPath)
	if !ok {
		http.Error(w, "only IPNS records are routed here", http.StatusNotFound)
		return
	}
	name, err := ipns.NameFromString(text)
	if err != nil {
		http.Error(w, fmt.Sprintf("not an IPNS name: %v", err), http.StatusBadRequest)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		s.get(w, r, name)
	case http.MethodPut:
		s.put(w, r, name)
	default:
		w.Header().Set("Allow", "GET, HEAD, PUT")
		http.Error(w, "records are got and put", http.StatusMethodNotAllowed)
	}
}

func (s records) get(w http.ResponseWriter, r *http.Request, name ipns.Name) {
	if a := r.Header.Get("Accept"); a != "" && !strings.Contains(a, recordType) && !strings.Contains(a, "*/*") {
		http.Error(w, "only "+recordType+" is served", http.StatusNotAcceptable)
		return
	}
	w.Header().Set("Vary", "Accept")
	raw, rec, err := s.record(name)
	if err != nil {
		// 200 and another type is how the API says it (IPIP-513).
		w.Header().Set("Cache-Control", "public, max-age=15")
		http.Error(w, fmt.Sprintf("no record of %s here", name), http.StatusOK)
		return
	}
	w.Header().Set("Cache-Control", s.caching(w.Header(), rec))
	w.Header().Set("Content-Type", recordType)
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name.String()+".ipns-record"))
	sum := sha256.Sum256(raw)
	w.Header().Set("Etag", fmt.Sprintf("%q", fmt.Sprintf("%x", sum[:8])))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
}

func (s records) record(name ipns.Name) ([]byte, *ipns.Record, error) {
	if s.cfg.Record == nil {
		return nil, nil, node.ErrNotFound
	}
	raw, err := s.cfg.Record(name.String())
	if err != nil {
		return nil, nil, err
	}
	rec, err := ipns.UnmarshalRecord(raw)
	return raw, rec, err
}

// caching lets caches keep a record for its TTL, and never beyond its end.
func (s records) caching(h http.Header, rec *ipns.Record) string {
	eol, err := rec.Validity()
	if err != nil {
		return "no-store"
	}
	h.Set("Expires", eol.UTC().Format(http.TimeFormat))
	left := int(eol.Sub(s.cfg.Now()).Seconds())
	if left <= 0 {
		return "no-store"
	}
	ttl, err := rec.TTL()
	if err != nil || ttl < 0 {
		ttl = time.Minute
	}
	age := min(int(ttl.Seconds()), left)
	return fmt.Sprintf("public, max-age=%d, stale-while-revalidate=%d, stale-if-error=%d", age, left-age, left-age)
}

func (s records) put(w http.ResponseWriter, r *http.Request, name ipns.Name) {
	if !strings.Contains(r.Header.Get("Content-Type"), recordType) {
		http.Error(w, "only "+recordType+" is taken", http.StatusNotAcceptable)
		return
	}
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(stalled)) // sockets know only the wall clock
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRecord))
	if err != nil {
		http.Error(w, fmt.Sprintf("read record, which has at most %d bytes: %v", maxRecord, err), http.StatusBadRequest)
		return
	}
	err = ErrUnwanted
	if s.cfg.Put != nil {
		err = s.cfg.Put(name.String(), raw)
	}
	switch {
	case err == nil:
	case errors.Is(err, ErrUnwanted):
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, ErrRefused):
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		http.Error(w, "the record could not be kept", http.StatusInternalServerError)
	}
}
