package fetch

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// part is when a part of a block came, or a whole one.
type part struct {
	number uint32
	at     time.Duration
}

// asker has a stream to a giver of blocks on a line of 200 kB/s, all whose parts are
// noted.
func asker(t *testing.T, blocks ...node.Block) (st node.Stream, parts func() []part) {
	w := newStage(t)
	from, _ := w.box("giver", func(c *Config) { c.Upload = 200_000 }, blocks...)
	_, st = w.opened("one", from)
	begun := time.Now()
	came := make(chan part, 1<<10)
	go func() {
		for {
			kind, body, err := frame(st)
			if err != nil {
				return
			}
			if kind == frameBlock || kind == framePart {
				came <- part{binary.BigEndian.Uint32(body), time.Since(begun)}
			}
		}
	}()
	return st, func() (all []part) {
		for len(came) > 0 {
			all = append(all, <-came)
		}
		return all
	}
}

// gap is the longest time between two parts of a number, both after from.
func gap(all []part, number uint32, from time.Duration) (most time.Duration) {
	last := from
	for _, p := range all {
		if p.number == number && p.at > from {
			most = max(most, p.at-last)
			last = p.at
		}
	}
	return most
}

// TestAllElseMakesWay: when a playhead's block has been given nothing else is until
// that has come, and a moment longer; and not for ever where nobody says so.
func TestAllElseMakesWay(t *testing.T) {
	for said, want := range map[bool]time.Duration{true: time.Second + lingering, false: yielding - lingering} {
		synctest.Test(t, func(t *testing.T) {
			much, urgent := large(1<<20), large(4<<10)
			st, parts := asker(t, much, urgent)
			st.Write(appendWants(appendHello(nil, hello{parts: true}), frameWant, []order{{number: 5, class: node.Later, digest: digestOf(much.CID)}}))
			<-time.After(3 * time.Second)
			st.Write(appendWants(nil, frameWant, []order{{number: 6, class: node.Now, digest: digestOf(urgent.CID)}}))
			<-time.After(time.Second)
			all := parts()
			i := 0
			for i < len(all) && all[i].number != 6 {
				i++
			}
			if i != len(all)-1 {
				t.Fatalf("%d parts, of which the playhead's was number %d", len(all), i)
			}
			at := all[i].at
			<-time.After(at + time.Second - 4*time.Second)
			if said {
				st.Write(appendNumbers(nil, frameGot, []uint32{6}))
			}
			<-time.After(10 * time.Second)
			if all = parts(); len(all) == 0 || all[0].at-at < want || all[0].at-at > want+time.Second/5 {
				t.Errorf("said %v: of the rest came %v, where it is to go on after %v", said, all, want)
			}
		})
	}
}

// TestWhatIsHurriedMakesNoWay: a block that is being given, and is for a playhead by
// now, goes on, and what else is for it comes behind.
func TestWhatIsHurriedMakesNoWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		much, urgent := large(1<<20), large(4<<10)
		st, parts := asker(t, much, urgent)
		o := order{number: 5, class: node.Later, digest: digestOf(much.CID)}
		st.Write(appendWants(appendHello(nil, hello{parts: true}), frameWant, []order{o}))
		<-time.After(2 * time.Second)
		o.class = node.Now
		st.Write(appendWants(nil, frameHurry, []order{o}))
		<-time.After(time.Second)
		st.Write(appendWants(nil, frameWant, []order{{number: 6, class: node.Now, digest: digestOf(urgent.CID)}}))
		<-time.After(20 * time.Second)
		all := parts()
		if len(all) == 0 || all[len(all)-1].number != 6 {
			t.Fatalf("%v", all)
		}
		if n := gap(all, 5, time.Second); n > time.Second {
			t.Errorf("%v passed between two parts", n)
		}
	})
}
