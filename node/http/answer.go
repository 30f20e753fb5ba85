package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/path/resolver"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"playnode/node"
)

// forms are what a trustless gateway answers with, by the value of format.
var forms = map[string]string{"raw": rawType, "car": carType, "ipns-record": recordType}

// form is what a request wants, "" unless that is one of forms, and what its
// Accept says of it more closely. What is in the query goes first, so that what
// is kept under a URL is one thing.
func form(r *http.Request) (kind string, params map[string]string) {
	kind = forms[r.URL.Query().Get("format")]
	for _, line := range r.Header.Values("Accept") {
		for a := range strings.SplitSeq(line, ",") {
			t, p, err := mime.ParseMediaType(a)
			if err != nil || t != rawType && t != carType && t != recordType {
				continue
			}
			if kind == "" || kind == t {
				return t, p
			}
			return kind, nil
		}
	}
	return kind, nil
}

// carParams are the part of a graph that a request wants, and how.
func carParams(q url.Values, accept map[string]string) (p gateway.CarParams, err error) {
	switch s := gateway.DagScope(cmp.Or(q.Get("dag-scope"), string(gateway.DagScopeAll))); s {
	case gateway.DagScopeAll, gateway.DagScopeEntity, gateway.DagScopeBlock:
		p.Scope = s
	default:
		return p, fmt.Errorf("dag-scope %q is not block, entity or all", s)
	}
	if q.Has("entity-bytes") {
		r, err := gateway.NewDagByteRange(q.Get("entity-bytes"))
		if err != nil {
			return p, fmt.Errorf("entity-bytes: %w", err)
		}
		p.Range = &r
	}
	if v := cmp.Or(q.Get("car-version"), accept["version"]); v != "" && v != "1" {
		return p, errors.New("only CARs of version 1 are made")
	}
	switch o := gateway.DagOrder(cmp.Or(q.Get("car-order"), accept["order"], string(gateway.DagOrderDFS))); o {
	case gateway.DagOrderDFS, gateway.DagOrderUnknown:
		p.Order = o
	default:
		return p, fmt.Errorf("car-order %q is not dfs or unk", o)
	}
	p.Duplicates, err = gateway.NewDuplicateBlocksPolicy(cmp.Or(q.Get("car-dups"), accept["dups"], "n"))
	return p, err
}

// textOf is a CAR's Content-Type.
func textOf(p gateway.CarParams) string {
	return fmt.Sprintf("%s; version=1; order=%s; dups=%s", carType, p.Order, p.Duplicates)
}

// located is where an answer that an Accept has asked for is found without it.
func located(w http.ResponseWriter, r *http.Request, kind string, car *gateway.CarParams) {
	q := r.URL.Query()
	if forms[q.Get("format")] == kind {
		return
	}
	for f, k := range forms {
		if k == kind {
			q.Set("format", f)
		}
	}
	if car != nil {
		q.Set("car-order", string(car.Order))
		q.Set("car-dups", car.Duplicates.String())
	}
	at := url.URL{Path: r.URL.Path, RawQuery: q.Encode()}
	w.Header().Set("Content-Location", at.String())
}

// kept is how long, and under which name, an answer may be kept.
func kept(h http.Header, r *http.Request, kind, file, etag, caching string) {
	h.Set("Content-Type", kind)
	h.Set("X-Content-Type-Options", "nosniff") // it is no page, whatever is in it
	h.Set("Cache-Control", caching)
	h.Set("Etag", etag)
	file = cmp.Or(r.URL.Query().Get("filename"), file)
	plain := strings.Map(func(c rune) rune {
		if c > '~' {
			return '_'
		}
		return c
	}, file)
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=\"%s\"; filename*=UTF-8''%s", url.PathEscape(plain), url.PathEscape(file)))
}

// refuse says why there is no answer.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusInternalServerError
	switch {
	case ipld.IsNotFound(err), errors.Is(err, node.ErrNotFound), errors.Is(err, &resolver.ErrNoLink{}):
		code = http.StatusNotFound
		if strings.Contains(r.Header.Get("Cache-Control"), "only-if-cached") { // all that is here is
			code = http.StatusPreconditionFailed
		}
	case errors.Is(err, &cid.ErrInvalidCid{}):
		code = http.StatusBadRequest
	case errors.Is(err, context.DeadlineExceeded):
		code = http.StatusGatewayTimeout
	}
	http.Error(w, fmt.Sprintf("no %.200s here: %.1000s", r.URL.Path, err), code)
}

// patient is an answer to one who takes something of it every so often.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	p.control.SetWriteDeadline(time.Now().Add(stalled)) // sockets know only the wall clock
	return p.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (p patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// onlyWriter hides how else it could be written to: each part has its time.
type onlyWriter struct{ io.Writer }
