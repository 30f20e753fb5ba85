package nodetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// Source is a Getter under test, what it reads from, and how that can lie.
type Source struct {
	node.Getter
	// Give makes the far side hold blocks.
	Give func(blocks ...node.Block)
	// Lie makes the far side answer for c with wrong bytes; nil when it
	// cannot be made to.
	Lie func(c cid.Cid, wrong []byte)
	// Waits tells that Get waits for a block that nobody has yet.
	Waits bool
}

// Getter tests node.Getter.
func Getter(t *testing.T, open func(t *testing.T) Source) {
	t.Run("every size arrives", func(t *testing.T) {
		s := open(t)
		for _, n := range sizes {
			b := sized(n)
			s.Give(b)
			got, err := s.Get(within(t, limit), b.CID, node.Want{})
			if err != nil || !bytes.Equal(got, b.Data) {
				t.Fatalf("Get of %d bytes: %d bytes, %v", n, len(got), err)
			}
		}
	})
	t.Run("many at once, some twice", func(t *testing.T) {
		s := open(t)
		var all []node.Block
		for i := range 64 {
			all = append(all, sized(5000+i))
		}
		s.Give(all...)
		ctx := within(t, limit)
		var wg sync.WaitGroup
		for i := range 128 {
			wg.Go(func() {
				b := all[i%len(all)]
				if got, err := s.Get(ctx, b.CID, node.Want{Class: node.Class(i % 4)}); err != nil || !bytes.Equal(got, b.Data) {
					t.Errorf("Get %s: %v", b.CID, err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("what nobody has", func(t *testing.T) {
		s := open(t)
		b := sized(77)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		got, err := s.Get(ctx, b.CID, node.Want{})
		if err == nil || got != nil {
			t.Fatalf("Get = %d bytes, %v", len(got), err)
		}
		if s.Waits != (ctx.Err() != nil) {
			t.Fatalf("Get waited: %v, want %v (%v)", ctx.Err() != nil, s.Waits, err)
		}
		if !s.Waits && !errors.Is(err, node.ErrNotFound) {
			t.Fatalf("Get = %v, want ErrNotFound", err)
		}
	})
	t.Run("comes while it is waited for", func(t *testing.T) {
		s := open(t)
		if !s.Waits {
			return
		}
		b := sized(78)
		got := make(chan error, 1)
		ctx := within(t, limit)
		go func() {
			_, err := s.Get(ctx, b.CID, node.Want{})
			got <- err
		}()
		select {
		case err := <-got:
			t.Fatalf("Get before the block was there: %v", err)
		case <-time.After(300 * time.Millisecond):
		}
		s.Give(b)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("wrong bytes never come out", func(t *testing.T) {
		s := open(t)
		if s.Lie == nil {
			return
		}
		b := sized(4000)
		for _, wrong := range [][]byte{{}, b.Data[:3999], append(slices.Clone(b.Data), 0), bytes.Repeat([]byte{9}, 4000), make([]byte, node.MaxBlock+1)} {
			s.Lie(b.CID, wrong)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			got, err := s.Get(ctx, b.CID, node.Want{})
			cancel()
			if err == nil || got != nil {
				t.Fatalf("%d wrong bytes: Get = %d bytes, %v", len(wrong), len(got), err)
			}
		}
	})
}

// Peer is a node with streams, as far as this kit tests it.
type Peer interface {
	node.Streams
	node.Peers
}

// Streams tests node.Streams and node.Peers on two peers, not yet connected,
// that can reach one another.
func Streams(t *testing.T, open func(t *testing.T) (a, b Peer)) {
	const echo = "/nodetest/echo/1.0.0"
	connected := func(t *testing.T) (a, b Peer) {
		a, b = open(t)
		b.Handle(echo, func(peer string, s node.Stream) {
			defer s.Close()
			s.SetDeadline(time.Now().Add(limit))
			data, err := io.ReadAll(s)
			if err != nil {
				s.Reset()
				return
			}
			s.Write(append([]byte(peer+"\n"), data...))
		})
		met := make(chan string, 8)
		a.OnConnect(func(p string) { met <- p })
		if err := a.Connect(within(t, limit), b.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
		if p := <-met; p != b.ID() {
			t.Fatalf("OnConnect told %s, want %s", p, b.ID())
		}
		return a, b
	}
	t.Run("connected", func(t *testing.T) {
		a, b := connected(t)
		if !slices.Contains(a.Connected(), b.ID()) || !slices.Contains(b.Connected(), a.ID()) {
			t.Fatalf("Connected = %v and %v", a.Connected(), b.Connected())
		}
		late := make(chan string, 8)
		a.OnConnect(func(p string) { late <- p })
		select {
		case p := <-late:
			if p != b.ID() {
				t.Fatalf("a late OnConnect told %s", p)
			}
		case <-time.After(limit):
			t.Fatal("a late OnConnect heard nothing")
		}
	})
	t.Run("half-closed streams carry both ways, and say who", func(t *testing.T) {
		a, b := connected(t)
		for _, n := range []int{0, 1, 4 << 20} {
			s, err := a.Open(within(t, limit), b.ID(), echo)
			if err != nil {
				t.Fatal(err)
			}
			sent := bytes.Repeat([]byte{7}, n)
			go func() {
				s.Write(sent)
				s.CloseWrite()
			}()
			got, err := io.ReadAll(s)
			if want := append([]byte(a.ID()+"\n"), sent...); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes sent: %d back, %v", n, len(got), err)
			}
			s.Close()
		}
	})
	t.Run("unknown protocols and peers fail", func(t *testing.T) {
		a, b := connected(t)
		ctx := within(t, limit)
		if s, err := a.Open(ctx, b.ID(), "/nodetest/none"); err == nil {
			// A transport may tell only at the first answer.
			s.Write([]byte{1})
			s.CloseWrite()
			if _, err := io.ReadAll(s); err == nil {
				t.Fatal("an unknown protocol was spoken")
			}
		}
		if _, err := a.Open(ctx, "12D3KooWJtxMSiy5aZMkDTByBMYi4bCnHDFbE5T9ezBbsCTyoRZ6", echo); err == nil {
			t.Fatal("a stream to nobody")
		}
	})
	t.Run("reset and deadline", func(t *testing.T) {
		a, b := connected(t)
		hang := make(chan error, 1)
		b.Handle("/nodetest/hang", func(peer string, s node.Stream) {
			_, err := io.ReadAll(s)
			hang <- err
			s.Reset()
		})
		s, err := a.Open(within(t, limit), b.ID(), "/nodetest/hang")
		if err != nil {
			t.Fatal(err)
		}
		s.Write([]byte{1})
		s.SetDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Fatal("read past the deadline")
		}
		s.Reset()
		select {
		case err := <-hang:
			if err == nil {
				t.Fatal("a reset stream ended well")
			}
		case <-time.After(limit):
			t.Fatal("a reset never arrived")
		}
	})
}

// Values tests node.Values between nodes of one routing system.
func Values(t *testing.T, open func(t *testing.T) (a, b node.Values)) {
	a, b := open(t)
	ctx := within(t, limit)
	if _, err := a.GetValue(ctx, "/nodetest/none"); !errors.Is(err, node.ErrNotFound) {
		t.Fatalf("GetValue of nothing = %v, want ErrNotFound", err)
	}
	if err := a.PutValue(ctx, "/nodetest/x", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if v, err := b.GetValue(ctx, "/nodetest/x"); err != nil || string(v) != "v" {
		t.Fatalf("GetValue = %q, %v", v, err)
	}
}
