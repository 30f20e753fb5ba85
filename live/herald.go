package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"playnode/manifests"
)

const (
	// heralding is how often a set on air is told of in its DJ's topic.
	heralding = 30 * time.Second
	// fresh is how old a head may be that says that a set is on air.
	fresh = 10 * time.Minute
)

// Topic is where a DJ's going on air is told of: a message is a record's frame,
// and a head's after it where there is one.
func Topic(dj manifests.DJ) string { return "playnode/live/" + dj.String() }

// watch is a DJ who is listened for. Guarded by Carrier.mu.
type watch struct {
	dj    manifests.DJ
	on    map[manifests.SelID]*word // the newest of each selection
	told  map[manifests.LiveID]bool
	asked map[string]time.Time
}

// word is what was told of a set.
type word struct {
	*record
	seq uint64 // the number after the newest head told of
}

// of is what was told of a set; nil for nothing.
func (w *watch) of(set manifests.LiveID) *word {
	if w == nil {
		return nil
	}
	for _, x := range w.on {
		if x.live.Live == set {
			return x
		}
	}
	return nil
}

// Watch has Config.OnAir called for what a DJ puts on air, until ctx ends, whose
// error it returns. Neighbours are asked what she has on air now.
func (c *Carrier) Watch(ctx context.Context, dj manifests.DJ) error {
	w := &watch{dj: dj, on: map[manifests.SelID]*word{}, told: map[manifests.LiveID]bool{}, asked: map[string]time.Time{}}
	c.mu.Lock()
	if c.watched[dj] != nil {
		c.mu.Unlock()
		return fmt.Errorf("watch %s: she is watched already", dj)
	}
	c.watched[dj] = w
	peers := c.cfg.Known(dj)
	for _, p := range peers {
		c.ask(p)
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watched, dj)
	}()
	if c.cfg.Topics == nil {
		<-ctx.Done()
		return ctx.Err()
	}
	return c.cfg.Topics.Subscribe(ctx, Topic(dj), func(peer string, data []byte) bool {
		news, err := c.hearHerald(w, bytes.NewReader(data), 1)
		if err != nil {
			c.cfg.Log.Debug("word of who is on air", "peer", peer, "err", err)
		}
		return err == nil && news
	})
}

// hearHerald judges a record, and a head of it, of each of most sets, and tells
// whether any is news.
func (c *Carrier) hearHerald(w *watch, r io.Reader, most int) (news bool, err error) {
	var bad error
	kind, body, err := readFrame(r, true)
	for n := 0; ; n++ {
		if n > 0 && (err == io.EOF || err == nil && kind == frameState) {
			return news, bad
		}
		if err != nil || kind != frameRecord || n == most {
			return news, errors.Join(errFrame, err)
		}
		record, err2 := signedOf(body)
		if err2 != nil {
			return news, err2
		}
		var head *manifests.Signed
		if kind, body, err = readFrame(r, true); err == nil && kind == frameHead {
			h, err2 := signedOf(body)
			if err2 != nil {
				return news, err2
			}
			head = &h
			kind, body, err = readFrame(r, true)
		}
		fresh, err2 := c.hearOf(w, record, head)
		news, bad = news || fresh, errors.Join(bad, err2)
	}
}

// hearOf judges a set's record, and a head of it where there is one.
func (c *Carrier) hearOf(w *watch, signed manifests.Signed, head *manifests.Signed) (news bool, err error) {
	chain := c.cfg.Chain(w.dj)
	if chain == nil {
		return false, errors.New("her chain is not known here")
	}
	l, err := chain.OpenLive(signed)
	if err != nil {
		return false, err
	}
	at, seq, final := l.IAT, uint64(0), false
	if head != nil {
		h, err := chain.OpenLiveHead(*head, l)
		if err != nil {
			return false, err
		}
		at, seq, final = h.IAT, h.Seq+1, h.Final
	}
	if age := c.cfg.Now().Sub(time.Unix(at, 0)); age.Abs() > fresh {
		return false, fmt.Errorf("a set that was on air %s ago", age)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x := w.on[l.Sel]
	switch {
	case x == nil:
		for sel := range w.on { // any
			if len(w.on) < maxTold {
				break
			}
			delete(w.on, sel)
		}
	case x.live.Live == l.Live:
		if seq <= x.seq && l.Seq <= x.live.Seq {
			return false, nil
		}
		seq = max(seq, x.seq)
	case l.IAT < x.live.IAT:
		return false, nil // an older one
	default: // a playlist has one set at a time: she did not come to end the other
		if cr := c.sets[Set{l.DJ, x.live.Live}]; cr != nil {
			cr.followed = true
			cr.wake()
		}
	}
	x = &word{&record{signed, l}, seq}
	w.on[l.Sel] = x
	set := Set{l.DJ, l.Live}
	if cr := c.sets[set]; cr != nil {
		cr.addRecord(x.record)
	}
	if !final && !w.told[l.Live] {
		if len(w.told) >= maxTold {
			clear(w.told)
		}
		w.told[l.Live] = true
		if c.cfg.OnAir != nil {
			c.spawn(func() { c.cfg.OnAir(set, l) })
		}
	}
	return true, nil
}

// maxTold bounds the sets that are remembered to have been told of, and those
// of one DJ at a time; maxProgram those that one who asks is told of.
const maxTold, maxProgram = 64, 8

// ask asks a peer what those who are watched have on air. c.mu is held.
func (c *Carrier) ask(peer string) {
	now := c.cfg.Now()
	for dj, w := range c.watched {
		if at, ok := w.asked[peer]; ok && now.Sub(at) < heralding || c.liars[peer] || !slices.Contains(c.cfg.Known(dj), peer) {
			continue
		}
		if len(w.asked) >= maxCandidates {
			clear(w.asked)
		}
		w.asked[peer] = now
		c.spawn(func() {
			ctx, cancel := c.within(opening)
			defer cancel()
			s, err := c.cfg.Streams.Open(ctx, peer, Protocol)
			if err != nil {
				return
			}
			defer s.Reset()
			defer context.AfterFunc(ctx, func() { s.Reset() })()
			if _, err = s.Write(hello{set: Set{DJ: dj}}.frame()); err == nil {
				_, err = c.hearHerald(w, s, maxProgram)
			}
			c.cfg.Log.Debug("asked who is on air", "peer", peer, "err", err)
		})
	}
}

// herald tells those who watch the DJ of her set.
func (c *Carrier) herald(cr *carry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cr.heralded = c.cfg.Now()
	if c.cfg.Topics == nil || !c.running || len(cr.records) == 0 {
		return
	}
	word := signedFrame(frameRecord, cr.records[len(cr.records)-1].signed)
	if x := cr.held[cr.edge-1]; cr.edge > 0 && x != nil && x.head != nil && x.head.Seq >= cr.records[len(cr.records)-1].live.From {
		word = append(word, signedFrame(frameHead, x.signed)...)
	}
	c.spawn(func() {
		ctx, cancel := c.within(opening)
		defer cancel()
		if err := c.cfg.Topics.Publish(ctx, Topic(cr.set.DJ), word); err != nil {
			c.cfg.Log.Debug("tell of a set on air", "err", err)
		}
	})
}

// listen tells of this box's own sets again, for who has come since. c.mu is
// held.
func (c *Carrier) listen(now time.Time) {
	for _, cr := range c.sets {
		if cr.root && now.Sub(cr.heralded) >= heralding {
			cr.heralded = now
			c.spawn(func() { c.herald(cr) })
		}
	}
}
