package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"playnode/testnet/netns"
)

const (
	// backlog is how many of the newest segments who comes is given at once.
	backlog = 3
	// gone is how long after it was told of a segment is given up.
	gone = 3 * time.Second
	// dropAt is how many segments a stream of HTTP may lack before it is ended:
	// servers for radio do so at 512 KiB.
	dropAt = 30
)

// edge is what is on air, as it grows. Safe for concurrent use.
type edge[T any] struct {
	mu   sync.Mutex // guards what follows
	all  []T
	more chan struct{} // closed when there is one more
}

func (e *edge[T]) add(x T) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
	if e.more != nil {
		close(e.more)
	}
	e.more = nil
}

// from is all from next on, at least one; -1 means the newest few. at is the
// number of the first.
func (e *edge[T]) from(ctx context.Context, next int) (some []T, at int, err error) {
	for {
		e.mu.Lock()
		if next < 0 {
			next = max(0, len(e.all)-backlog)
		}
		some = e.all[next:]
		if e.more == nil {
			e.more = make(chan struct{})
		}
		more := e.more
		e.mu.Unlock()
		if len(some) > 0 {
			return some, next, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, next, ctx.Err()
		}
	}
}

// radio is a web server that sends the set to each who asks, as it is cut.
type radio struct {
	edge   edge[[]byte]
	world  *netns.World
	server *http.Server
	url    string
}

func (x *radio) open(w *netns.World, _ []int, _ map[int][]int) error {
	l, err := w.Boxes[0].Listen("tcp4", ":8000")
	if err != nil {
		return err
	}
	x.world, x.url = w, fmt.Sprintf("http://%s:8000/", w.Boxes[0].Addr())
	x.server = &http.Server{Handler: http.HandlerFunc(x.serve)}
	go x.server.Serve(l)
	return nil
}

func (x *radio) cut(data []byte) error {
	x.edge.add(data)
	return nil
}

// serve sends each segment behind its number and its size.
func (x *radio) serve(w http.ResponseWriter, req *http.Request) {
	flush := http.NewResponseController(w)
	for next := -1; ; next++ {
		some, at, err := x.edge.from(req.Context(), next)
		if err != nil || len(some) > dropAt {
			return
		}
		next = at
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(at)), uint32(len(some[0])))
		if _, err = w.Write(append(head, some[0]...)); err == nil {
			err = flush.Flush()
		}
		if err != nil {
			return
		}
	}
}

func (x *radio) hear(ctx context.Context, box int, note func(int, bool)) error {
	client := clientAt(x.world.Boxes[box])
	defer client.CloseIdleConnections()
	for next := 0; ctx.Err() == nil; sleep(ctx, time.Second) {
		req, err := http.NewRequestWithContext(ctx, "GET", x.url, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			continue // it is asked again
		}
		var head [8]byte
		for err == nil {
			if _, err = io.ReadFull(res.Body, head[:]); err != nil {
				break
			}
			if _, err = io.CopyN(io.Discard, res.Body, int64(binary.BigEndian.Uint32(head[4:]))); err != nil {
				break
			}
			at := int(binary.BigEndian.Uint32(head[:]))
			for ; next > 0 && next < at; next++ {
				note(next, true) // it was dropped meanwhile
			}
			note(at, false)
			next = max(next, at+1)
		}
		res.Body.Close()
	}
	return nil
}

func (x *radio) close() {
	if x.server != nil {
		x.server.Close()
	}
}

// kuboAir is stock Kubo's daemons, of which those who hear ask for each block
// as soon as it is there.
type kuboAir struct {
	kubos
	edge  edge[string]
	world *netns.World
	rpc   map[int]string
}

func (k *kuboAir) open(w *netns.World, venues []int, know map[int][]int) error {
	k.world, k.daemons, k.addrs, k.rpc = w, map[int]kubo{}, map[int]string{}, map[int]string{}
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return err
	}
	if _, err := k.start(0, w.Boxes[0]); err != nil {
		return err
	}
	var g errgroup.Group
	g.SetLimit(2)
	for _, i := range venues {
		g.Go(func() error {
			_, err := k.start(i, w.Boxes[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, d := range k.daemons {
		addr, err := os.ReadFile(filepath.Join(d.repo, "api"))
		if err != nil {
			return err
		}
		f := strings.Split(strings.TrimSpace(string(addr)), "/") // /ip4/127.0.0.1/tcp/5001
		if len(f) != 5 {
			return fmt.Errorf("kubo's RPC is at %q", addr)
		}
		k.rpc[i] = "http://" + net.JoinHostPort(f[2], f[4]) + "/api/v0/"
	}
	for _, i := range venues {
		for _, p := range know[i] {
			if err := k.call(context.Background(), clientAt(w.Boxes[i]), i, "swarm/connect?arg="+k.addrs[p], nil, "", nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// call asks box i's RPC, and decodes what it answers into v, unless that is nil.
func (k *kuboAir) call(ctx context.Context, client *http.Client, i int, path string, body io.Reader, kind string, v any) error {
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, "POST", k.rpc[i]+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("kubo: %s: %.200s: %.200s", path, res.Status, answer)
	}
	if err == nil && v != nil {
		err = json.Unmarshal(answer, v)
	}
	return err
}

func (k *kuboAir) cut(data []byte) error {
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	part, err := m.CreateFormFile("data", "segment")
	if err != nil {
		return err
	}
	part.Write(data)
	m.Close()
	var put struct{ Key string }
	if err := k.call(context.Background(), clientAt(k.world.Boxes[0]), 0, "block/put?cid-codec=raw", &form, m.FormDataContentType(), &put); err != nil {
		return err
	}
	k.edge.add(put.Key)
	return nil
}

func (k *kuboAir) hear(ctx context.Context, box int, note func(int, bool)) error {
	client := clientAt(k.world.Boxes[box])
	defer client.CloseIdleConnections()
	var asked sync.WaitGroup
	defer asked.Wait()
	for next := -1; ; {
		some, at, err := k.edge.from(ctx, next)
		if err != nil {
			return nil // the set is over
		}
		next = at + len(some)
		for i, c := range some {
			asked.Go(func() {
				defer time.AfterFunc(gone, func() { note(at+i, true) }).Stop()
				ctx, cancel := context.WithTimeout(ctx, 4*gone)
				defer cancel()
				if err := k.call(ctx, client, box, "block/get?arg="+c, nil, "", nil); err == nil {
					note(at+i, false)
				}
			})
		}
	}
}
