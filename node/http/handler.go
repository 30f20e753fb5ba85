package http

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/boxo/namesys"
	"github.com/ipfs/boxo/path"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/prometheus/client_golang/prometheus"

	"playnode/node"
)

const (
	// maxRequests bounds the requests that are served at once.
	maxRequests = 256
	// stalled is how long a requester may take nothing.
	stalled = 30 * time.Second
	// longest bounds one request: a CAR of a track over a slow line.
	longest = time.Hour
)

var errReadOnly = errors.New("the gateway only reads")

// HandlerConfig is what the gateway serves.
type HandlerConfig struct {
	// Blocks are served; nothing is fetched for a stranger. Required.
	Blocks node.Blocks
	// Record gives a name's newest record (protobuf), or an error; nil serves
	// no names.
	Record func(name string) ([]byte, error)
	// Put keeps a record that anyone brings; it verifies. Errors wrap
	// ErrUnwanted or ErrRefused where that is why; nil takes none.
	Put func(name string, raw []byte) error
	// Now dates what caches may keep; nil means the system's clock.
	Now func() time.Time
}

// NewHandler is the trustless gateway: /ipfs/CID as raw or CAR, /ipns/NAME as
// ipns-record; and delegated routing: /routing/v1/ipns/NAME, got and put. All
// else is refused. Mount it on a listener of its own.
func NewHandler(cfg HandlerConfig) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	graphs, err := gateway.NewBlocksBackend(blockservice.New(held{cfg.Blocks}, nil),
		gateway.WithValueStore(nobody{}), gateway.WithNameSystem(nobody{}), gateway.WithPrometheusRegistry(prometheus.NewRegistry())) // the default one takes each name once a process
	if err != nil {
		panic(err) // only options can fail, and these are constant
	}
	slots := make(chan struct{}, maxRequests)
	keep := records{cfg, make(chan struct{}, maxRequests)}
	s := shelf{cfg, graphs, keep}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, routingRoot) {
			keep.ServeHTTP(w, r)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			w.Header().Set("Retry-After", "60")
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), longest)
		defer cancel()
		s.ServeHTTP(patient{w, http.NewResponseController(w)}, r.WithContext(ctx))
	})
}

// shelf serves what is on this box. boxo's backend knows what belongs into a
// CAR; its handler, which also makes pages of what is in files, would have the
// whole program keep every method of every type for its templates.
type shelf struct {
	cfg    HandlerConfig
	graphs *gateway.BlocksBackend
	names  records
}

func (s shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Allow"] = []string{http.MethodGet, http.MethodHead, http.MethodOptions}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.Header().Del("Allow")
	case http.MethodOptions:
		return
	default:
		http.Error(w, errReadOnly.Error(), http.StatusMethodNotAllowed)
		return
	}
	p, err := path.NewPath(r.URL.Path)
	if err != nil {
		http.Error(w, fmt.Sprintf("%.1000s", err), http.StatusBadRequest)
		return
	}
	kind, accept := form(r)
	alone := len(p.Segments()) == 2 // and nothing within it
	w.Header().Set("Vary", "Accept")
	switch {
	case p.Namespace() == path.IPNSNamespace && kind == recordType && alone:
		if name, err := ipns.NameFromString(p.Segments()[1]); err == nil {
			s.record(w, r, name)
			return
		}
	case p.Namespace() == path.IPFSNamespace && (kind == rawType && alone || kind == carType):
		if root, err := cid.Decode(p.Segments()[1]); err == nil {
			if kind == rawType {
				s.block(w, r, root)
			} else if at, err := path.NewImmutablePath(p); err == nil {
				s.car(w, r, root, at, accept)
			}
			return
		}
	}
	http.Error(w, "only trustless requests are answered: https://specs.ipfs.tech/http-gateways/trustless-gateway/", http.StatusNotAcceptable)
}

// never says that what it stands beside is the same for ever.
const never = "public, max-age=29030400, immutable"

func (s shelf) block(w http.ResponseWriter, r *http.Request, c cid.Cid) {
	data := []byte{}
	if c != gateway.EmptyIdentityCID { // by which a gateway is known to work
		var err error
		if data, err = s.cfg.Blocks.Read(r.Context(), c); err != nil {
			refuse(w, r, err)
			return
		}
	}
	located(w, r, rawType, nil)
	w.Header().Set("X-Ipfs-Roots", c.String())
	kept(w.Header(), r, rawType, c.String()+".bin", `"`+c.String()+`.raw"`, never)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

func (s shelf) car(w http.ResponseWriter, r *http.Request, root cid.Cid, at path.ImmutablePath, accept map[string]string) {
	want, err := carParams(r.URL.Query(), accept)
	if err != nil {
		http.Error(w, fmt.Sprintf("%.1000s", err), http.StatusBadRequest)
		return
	}
	sum := sha256.Sum256(fmt.Append(nil, at.String(), 0, want.Scope, 0, r.URL.Query().Get("entity-bytes"), 0, textOf(want)))
	etag := fmt.Sprintf(`W/"%s.car.%x"`, root, sum[:8]) // weak: the order may be another
	if has := r.Header.Get("If-None-Match"); has == "*" || strings.Contains(has, etag) {
		w.Header().Set("Etag", etag)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	md, graph, err := s.graphs.GetCAR(r.Context(), at, want)
	if err != nil {
		refuse(w, r, err)
		return
	}
	defer graph.Close()
	located(w, r, carType, &want)
	roots := ""
	for _, c := range md.PathSegmentRoots {
		roots += c.String() + ","
	}
	name := root.String()
	if last := at.Segments(); len(last) > 2 {
		name += "_" + last[len(last)-1]
	}
	w.Header().Set("X-Ipfs-Roots", roots+md.LastSegment.RootCid().String())
	w.Header().Set("Accept-Ranges", "none")
	kept(w.Header(), r, textOf(want), name+".car", etag, never)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := io.Copy(onlyWriter{w}, graph); err != nil {
		// It was 200 already. A reader looks for a block here, and finds that there
		// is none.
		fmt.Fprint(w, "\n\nthe CAR ends here, and is not whole")
	}
}

func (s shelf) record(w http.ResponseWriter, r *http.Request, name ipns.Name) {
	raw, rec, err := s.names.record(name)
	if err != nil {
		refuse(w, r, fmt.Errorf("no record of it is here: %w", errors.Join(err, node.ErrNotFound)))
		return
	}
	located(w, r, recordType, nil)
	sum := sha256.Sum256(raw)
	kept(w.Header(), r, recordType, name.String()+".ipns-record", fmt.Sprintf(`"%x"`, sum[:8]), s.names.caching(w.Header(), rec))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(raw))
}

// held is what is on this box as boxo's Blockstore.
type held struct{ blocks node.Blocks }

func (h held) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := h.blocks.Read(ctx, c)
	if errors.Is(err, node.ErrNotFound) {
		return nil, ipld.ErrNotFound{Cid: c}
	}
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(data, c)
}

func (h held) Has(ctx context.Context, c cid.Cid) (bool, error) { return h.blocks.Has(ctx, c) }

func (h held) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	b, err := h.Get(ctx, c)
	if err != nil {
		return 0, err
	}
	return len(b.RawData()), nil
}

func (held) Put(context.Context, blocks.Block) error             { return errReadOnly }
func (held) PutMany(context.Context, []blocks.Block) error       { return errReadOnly }
func (held) DeleteBlock(context.Context, cid.Cid) error          { return errReadOnly }
func (held) AllKeysChan(context.Context) (<-chan cid.Cid, error) { return nil, errReadOnly }

// nobody knows of names, as boxo's ValueStore and NameSystem, which it wants for
// paths that none is served for: no other node and no DNS is asked.
type nobody struct{}

func (nobody) Resolve(context.Context, path.Path, ...namesys.ResolveOption) (namesys.Result, error) {
	return namesys.Result{}, namesys.ErrResolveFailed
}

func (nobody) ResolveAsync(context.Context, path.Path, ...namesys.ResolveOption) <-chan namesys.AsyncResult {
	out := make(chan namesys.AsyncResult, 1)
	out <- namesys.AsyncResult{Err: namesys.ErrResolveFailed}
	close(out)
	return out
}

func (nobody) GetValue(context.Context, string, ...routing.Option) ([]byte, error) {
	return nil, routing.ErrNotFound
}

func (nobody) PutValue(context.Context, string, []byte, ...routing.Option) error { return errReadOnly }

func (nobody) SearchValue(context.Context, string, ...routing.Option) (<-chan []byte, error) {
	return nil, routing.ErrNotSupported
}

func (nobody) Publish(context.Context, crypto.PrivKey, path.Path, ...namesys.PublishOption) error {
	return errReadOnly
}
