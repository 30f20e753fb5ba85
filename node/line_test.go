package node_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// endless is a connection that gives and takes as much as one likes.
type endless struct{ net.Conn }

func (endless) Read(b []byte) (int, error)  { return len(b), nil }
func (endless) Write(b []byte) (int, error) { return len(b), nil }
func (endless) Close() error                { return nil }

// tape is when how many bytes have passed.
type tape struct {
	mu sync.Mutex
	at []time.Time
	n  []int
}

func (t *tape) note(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.n = append(t.at, time.Now()), append(t.n, n)
}

// most is the most that has passed in any ten seconds.
func (t *tape) most() (most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum, from := 0, 0
	for i := range t.at {
		for sum += t.n[i]; t.at[i].Sub(t.at[from]) >= 10*time.Second; from++ {
			sum -= t.n[from]
		}
		most = max(most, sum)
	}
	return most
}

func (t *tape) all() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.n {
		n += k
	}
	return n
}

// TestLine: ten connections that all want everything get the line's bound
// together, each way, by turns; one that is urgent goes first.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const up, down = 100_000, 400_000
		l := node.NewLine(node.LineConfig{Up: up, Down: down})
		<-time.After(time.Minute) // what was not spent is not spent later
		var in, out tape
		var each [10]tape
		var open []net.Conn
		pump := func(c net.Conn, write bool, tapes ...*tape) {
			b := make([]byte, 50_000)
			for {
				pass := c.Read
				if write {
					pass = c.Write
				}
				k, err := pass(b)
				if err != nil {
					return
				}
				for _, x := range tapes {
					x.note(k)
				}
			}
		}
		for i := range 10 {
			c := l.Conn(endless{})
			open = append(open, c)
			go pump(c, false, &in, &each[i])
		}
		<-time.After(40 * time.Second)
		if most := in.most(); most > 10*down*105/100 || in.all() < 40*down*85/100 {
			t.Errorf("%d bytes came in ten seconds, %d in forty", most, in.all())
		}
		for i := range each {
			if n := each[i].all(); n < in.all()/11 || n > in.all()/9 {
				t.Errorf("connection %d had %d of %d bytes", i, n, in.all())
			}
		}
		open[3].(node.Urger).Urge(node.Now)
		before, all := each[3].all(), in.all()
		<-time.After(10 * time.Second)
		if n := each[3].all() - before; n < (in.all()-all)*9/10 {
			t.Errorf("the urgent one had %d of %d bytes", n, in.all()-all)
		}
		for _, c := range open {
			c.Close()
		}
		c := l.Conn(endless{})
		// What was owed for all that came takes its part of what goes.
		go pump(c, true, &out)
		<-time.After(40 * time.Second)
		if most := out.most(); most > 10*up*105/100 || out.all() < 40*up*40/100 {
			t.Errorf("%d bytes went in ten seconds, %d in forty", most, out.all())
		}
		c.Close()
		if _, err := io.WriteString(c, "more than may pass at once, after the end: "+string(make([]byte, 100_000))); err == nil {
			t.Error("a closed connection has written")
		}
		<-time.After(time.Second) // whoever lets through looks once more
	})
}

// TestNoLine: nothing is in the way where nothing is bound.
func TestNoLine(t *testing.T) {
	l := node.NewLine(node.LineConfig{})
	if l != nil || l.Conn(endless{}) != (endless{}) {
		t.Error("a line without a bound")
	}
}
