package http

import (
	"context"
	"errors"
	"fmt"
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
	n := names{cfg.Record}
	registry := prometheus.NewRegistry() // the default one takes each name once a process
	backend, err := gateway.NewBlocksBackend(blockservice.New(held{cfg.Blocks}, nil),
		gateway.WithValueStore(n), gateway.WithNameSystem(n), gateway.WithPrometheusRegistry(registry))
	if err != nil {
		panic(err) // only options can fail, and these are constant
	}
	pages := gateway.NewHandler(gateway.Config{
		DeserializedResponses: false, NoDNSLink: true, DisableHTMLErrors: true,
		MaxConcurrentRequests: maxRequests, RetrievalTimeout: stalled, MaxRequestDuration: longest,
		MetricsRegistry: registry,
	}, backend)
	keep := records{cfg, make(chan struct{}, maxRequests)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, routingRoot) {
			keep.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
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

// names is what is known of names here, as boxo's ValueStore and NameSystem:
// no other node and no DNS is asked.
type names struct {
	record func(name string) ([]byte, error)
}

func (n names) GetValue(_ context.Context, key string, _ ...routing.Option) ([]byte, error) {
	name, err := ipns.NameFromRoutingKey([]byte(key))
	if err != nil {
		return nil, gateway.NewErrorStatusCode(err, http.StatusBadRequest)
	}
	if n.record == nil {
		return nil, gateway.NewErrorStatusCode(errors.New("no names are served here"), http.StatusNotFound)
	}
	raw, err := n.record(name.String())
	if err != nil {
		return nil, gateway.NewErrorStatusCode(fmt.Errorf("no record of %s here", name), http.StatusNotFound)
	}
	return raw, nil
}

// Resolve is for deserialized content, of which none is served; boxo's own
// would ask DNS.
func (names) Resolve(context.Context, path.Path, ...namesys.ResolveOption) (namesys.Result, error) {
	return namesys.Result{}, namesys.ErrResolveFailed
}

func (names) ResolveAsync(context.Context, path.Path, ...namesys.ResolveOption) <-chan namesys.AsyncResult {
	out := make(chan namesys.AsyncResult, 1)
	out <- namesys.AsyncResult{Err: namesys.ErrResolveFailed}
	close(out)
	return out
}

func (names) PutValue(context.Context, string, []byte, ...routing.Option) error { return errReadOnly }

func (names) SearchValue(context.Context, string, ...routing.Option) (<-chan []byte, error) {
	return nil, routing.ErrNotSupported
}

func (names) Publish(context.Context, crypto.PrivKey, path.Path, ...namesys.PublishOption) error {
	return errReadOnly
}
