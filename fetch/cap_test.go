package fetch

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"playnode/node"
)

// TestUploadLimit counts what leaves in any ten seconds, to three at once, and
// that the playhead's goes first.
func TestUploadLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 100_000
		w := newStage(t)
		blocks := leavesOf(120)
		giver, s := w.box("giver", func(c *Config) { c.Upload = limit }, blocks...)
		<-time.After(10 * time.Second) // what was not spent is not spent later
		type piece struct {
			at time.Time
			n  int
		}
		var mu sync.Mutex
		var pieces []piece
		var came []uint32
		count := func(st node.Stream, say bool) {
			buf := make([]byte, 4096)
			var all []byte
			for {
				n, err := st.Read(buf)
				mu.Lock()
				pieces = append(pieces, piece{time.Now(), n})
				mu.Unlock()
				if err != nil {
					return
				}
				for all = append(all, buf[:n]...); len(all) >= 8; {
					size := 4 + int(all[1])<<16 + int(all[2])<<8 + int(all[3])
					if len(all) < size {
						break
					}
					if all[0] == frameBlock {
						number := uint32(all[4])<<24 | uint32(all[5])<<16 | uint32(all[6])<<8 | uint32(all[7])
						if say {
							came = append(came, number)
						}
						st.Write(appendNumbers(nil, frameGot, []uint32{number}))
					}
					all = all[size:]
				}
			}
		}
		for i := range 3 {
			_, st := w.asker(fmt.Sprint("asker", i), giver)
			go count(st, i == 0)
			var wants []byte
			for j := range 40 {
				wants = appendWants(wants, frameWant, []order{{uint32(j), node.Later, false, digestOf(blocks[40*i+j].CID)}})
			}
			st.Write(wants)
			if i == 0 {
				<-time.After(time.Second)
				st.Write(appendWants(nil, frameWant, []order{{1000, node.Now, false, digestOf(blocks[119].CID)}}))
			}
		}
		<-time.After(45 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		for i := range pieces {
			sum := 0
			for _, p := range pieces[i:] {
				if p.at.Sub(pieces[i].at) < 10*time.Second {
					sum += p.n
				}
			}
			if sum > 10*limit*105/100 {
				t.Fatalf("%d bytes in ten seconds", sum)
			}
		}
		if d := s.Swarm(); d.Sent < 38*limit {
			t.Fatalf("only %d bytes in 45 s", d.Sent)
		}
		if i := slices.Index(came, 1000); i < 0 || i > 6 {
			t.Fatalf("the playhead's block came as number %d", i)
		}
	})
}

// TestDownloadLimit counts what is taken in any ten seconds, from two at once.
func TestDownloadLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 100_000
		w := newStage(t)
		blocks := leavesOf(90)
		n, s := w.box("box", func(c *Config) { c.Download = limit })
		for i := range 2 {
			g, _ := w.box(fmt.Sprint("giver", i), nil, blocks...)
			w.Link(n, g)
		}
		began := time.Now()
		var mu sync.Mutex
		var came []time.Time
		var wg sync.WaitGroup
		for _, b := range blocks {
			wg.Add(1)
			s.Ask(t.Context(), b.CID, node.Want{Class: node.Later}, func(_ []byte, err error) {
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				came = append(came, time.Now())
				mu.Unlock()
				wg.Done()
			})
		}
		wg.Wait()
		size := len(blocks[0].Data)
		for i := range came {
			k := 0
			for _, at := range came[i:] {
				if at.Sub(came[i]) < 10*time.Second {
					k++
				}
			}
			if (k-1)*size > 10*limit*105/100 { // the first came in the time before
				t.Fatalf("%d blocks in ten seconds", k)
			}
		}
		if took := time.Since(began).Seconds(); took > 1.2*float64(len(blocks)*size)/limit {
			t.Fatalf("took %.1f s", took)
		}
	})
}

// TestWhatElseTakesTheLine has the exchange wait for what was sent by another
// way, and not for ever.
func TestWhatElseTakesTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStage(t)
		_, s := w.box("giver", func(c *Config) { c.Upload = 100_000 })
		for sent, least := range map[int]time.Duration{0: 0, 50_000: 300 * time.Millisecond, 10_000_000: 900 * time.Millisecond} {
			<-time.After(time.Minute)
			s.Sent(sent)
			began := time.Now()
			s.giver.line.takeAll(node.Now, 10_000)
			if took := time.Since(began); took < least || took > least+300*time.Millisecond {
				t.Errorf("after %d bytes 10,000 take %s", sent, took)
			}
		}
	})
}
