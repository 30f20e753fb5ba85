package nodetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"playnode/node"
)

// Speaker is a node with topics, as far as this kit tests it. Close ends it.
type Speaker interface {
	node.Topics
	node.Peers
	Close() error
}

// Topics tests node.Topics on three nodes that are not yet connected.
func Topics(t *testing.T, open func(t *testing.T) (a, b, c Speaker)) {
	const topic = "/nodetest/topic"
	// line connects a to b and b to c.
	line := func(t *testing.T) (a, b, c Speaker) {
		a, b, c = open(t)
		for _, pair := range [][2]Speaker{{a, b}, {b, c}} {
			if err := pair[0].Connect(within(t, limit), pair[1].Addrs()[0]); err != nil {
				t.Fatal(err)
			}
		}
		return a, b, c
	}
	t.Run("a message goes as far as it is approved", func(t *testing.T) {
		a, b, c := line(t)
		nearby := hear(t, b, topic, func(m string) bool { return m[0] != 'x' })
		far := hear(t, c, topic, nil)
		own := hear(t, a, topic, nil)
		// Neighbours learn of a subscription in their own time.
		until(t, a, topic, "hello", far)
		for m := ""; m != "end of hello"; {
			_, m = next(t, nearby)
		}
		want := []string{"x", "1", "x", "2", "3"}
		for _, m := range want {
			if err := a.Publish(within(t, limit), topic, []byte(m)); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range want {
			if from, got := next(t, nearby); got != m || from != a.ID() {
				t.Fatalf("heard %q from %s, want %q from %s", got, from, m, a.ID())
			}
		}
		for _, m := range []string{"1", "2", "3"} {
			if from, got := next(t, far); got != m || from != a.ID() {
				t.Fatalf("two steps away: heard %q from %s, want %q from %s", got, from, m, a.ID())
			}
		}
		select {
		case m := <-own:
			t.Fatalf("heard its own %q", m.data)
		default:
		}
	})
	t.Run("every size up to the largest", func(t *testing.T) {
		a, b, _ := line(t)
		heard := hear(t, b, topic, nil)
		until(t, a, topic, "hello", heard)
		for _, n := range []int{0, 1, node.MaxMessage - 1, node.MaxMessage} {
			if err := a.Publish(within(t, limit), topic, bytes.Repeat([]byte{7}, n)); err != nil {
				t.Fatal(err)
			}
			if _, got := next(t, heard); len(got) != n {
				t.Fatalf("%d bytes sent, %d heard", n, len(got))
			}
		}
		if err := a.Publish(within(t, limit), topic, make([]byte, node.MaxMessage+1)); err == nil {
			t.Fatal("one byte more was sent")
		}
	})
	t.Run("many topics at once, each its own", func(t *testing.T) {
		a, b, _ := line(t)
		name := func(i int) string { return fmt.Sprint(topic, i) }
		var heard []<-chan message
		for i := range 16 {
			heard = append(heard, hear(t, b, name(i), nil))
		}
		for i, h := range heard {
			until(t, a, name(i), fmt.Sprint(i), h)
		}
	})
	t.Run("one subscription a topic, until its context ends", func(t *testing.T) {
		a, b, _ := line(t)
		ctx, stop := context.WithCancel(t.Context())
		first, ended := make(chan message, 1024), make(chan error, 1)
		go func() {
			ended <- b.Subscribe(ctx, topic, func(peer string, data []byte) bool {
				first <- message{peer, string(data)}
				return true
			})
		}()
		until(t, a, topic, "hello", first)
		if err := b.Subscribe(within(t, limit), topic, func(string, []byte) bool { return true }); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a second Subscribe = %v", err)
		}
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Fatalf("Subscribe = %v", err)
		}
		for len(first) > 0 {
			<-first
		}
		second := hear(t, b, topic, nil)
		until(t, a, topic, "again", second)
		if len(first) > 0 {
			t.Fatal("a subscription that had ended was called")
		}
	})
	t.Run("closing ends it", func(t *testing.T) {
		_, b, _ := line(t)
		ended := make(chan error, 1)
		go func() { ended <- b.Subscribe(t.Context(), topic, func(string, []byte) bool { return true }) }()
		b.Close()
		select {
		case err := <-ended:
			if err == nil {
				t.Fatal("Subscribe of a closed node ended well")
			}
		case <-time.After(limit):
			t.Fatal("Subscribe outlives its node")
		}
	})
}

// message is one that was heard.
type message struct{ from, data string }

// hear subscribes s until the test ends; approve nil approves everything.
func hear(t *testing.T, s Speaker, topic string, approve func(m string) bool) <-chan message {
	t.Helper()
	heard := make(chan message, 1024)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Subscribe(ctx, topic, func(peer string, data []byte) bool {
			heard <- message{peer, string(data)}
			return approve == nil || approve(string(data))
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	return heard
}

// until publishes m again and again until it is heard, and once more to know
// that no copy is still on its way.
func until(t *testing.T, s Speaker, topic, m string, heard <-chan message) {
	t.Helper()
	send := func(m string) {
		if err := s.Publish(within(t, limit), topic, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(2 * limit)
	for first := true; first; {
		send(m)
		select {
		case <-heard:
			first = false
		case <-tick.C:
		case <-end:
			t.Fatalf("%q was never heard", m)
		}
	}
	// A neighbour may hear of the end of an earlier subscription only now, and
	// hold this one message back: it is sent again, after so long that no copy
	// of it can still be on its way.
	send("end of " + m)
	lost := time.NewTicker(limit / 4)
	defer lost.Stop()
	for {
		select {
		case got := <-heard:
			if got.data == "end of "+m {
				return
			}
		case <-lost.C:
			send("end of " + m)
		case <-end:
			t.Fatalf("the end of %q was never heard", m)
		}
	}
}

func next(t *testing.T, heard <-chan message) (from, data string) {
	t.Helper()
	select {
	case m := <-heard:
		return m.from, m.data
	case <-time.After(limit):
		t.Fatal("nothing was heard")
		return "", ""
	}
}
