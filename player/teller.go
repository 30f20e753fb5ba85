package player

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"playnode/manifests"
)

// maxMarks bounds what is mixed and not yet told.
const maxMarks = 256

// mark is an event that is told when its place in the ring is heard.
type mark struct {
	at    int64
	event Event
	// Of NewTrack:
	place place
	from  int64 // frames of the track, at the sink's rate, that were left out
	info  *manifests.Info
	// Of EndTrack: where the track began, as one may follow itself.
	begun int64
}

// due tells whether what a mark says has happened, when heard is what is
// heard next.
func (m *mark) due(heard int64) bool {
	if m.event.Kind == NewTrack {
		return heard > m.at
	}
	return heard >= m.at
}

// teller says what is heard, when it is. It is in a goroutine of its own, so
// that who listens to it cannot hold up the sound.
type teller struct {
	emit func(Event)
	news chan struct{} // holds one: there are marks that may be due
	told chan struct{} // holds one: marks were told

	mu    sync.Mutex // guards what follows
	marks []mark     // by place
	heard *mark      // the last NewTrack, until its end
	busy  bool       // one is being told
}

func newTeller(emit func(Event)) *teller {
	return &teller{emit: emit, news: make(chan struct{}, 1), told: make(chan struct{}, 1)}
}

// add has m told in its time.
func (t *teller) add(m mark) {
	t.mu.Lock()
	i, _ := slices.BinarySearchFunc(t.marks, m.at, func(o mark, at int64) int {
		if o.at == at {
			return -1 // behind those of the same place
		}
		return cmp.Compare(o.at, at)
	})
	t.marks = slices.Insert(t.marks, i, m)
	t.mu.Unlock()
	poke(t.news)
}

// cut makes at what is heard next: of what was to come before only faults are
// told, and the track that is heard ends there.
func (t *teller) cut(at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marks = slices.DeleteFunc(t.marks, func(m mark) bool { return m.event.Kind == NewTrack || m.event.Kind == EndTrack })
	for i := range t.marks {
		t.marks[i].at = at
	}
	if t.heard != nil {
		e := t.heard.event
		e.Kind, e.Cut = EndTrack, true
		t.marks = append(t.marks, mark{at: at, event: e, begun: t.heard.at})
	}
}

// owes tells whether there are too many marks, or, of a file, one before
// place at that was not told.
func (t *teller) owes(at int64, card bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.marks) > maxMarks || !card && (t.busy || len(t.marks) > 0 && t.marks[0].at < at)
}

// now is the track that is heard, and what of it the mark says.
func (t *teller) now() (mark, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.heard == nil {
		return mark{}, false
	}
	return *t.heard, true
}

// next is what is heard after that which is, nil of a set, and whether it is mixed
// yet.
func (t *teller) next() (_ *Coming, mixed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.marks {
		if e := &t.marks[i].event; e.Kind == NewTrack {
			if e.Set != "" {
				return nil, true
			}
			return &Coming{e.CID, e.Title, e.Artist}, true
		}
	}
	return nil, false
}

// move has a track that began at a place of the ring be at another place of a
// program.
func (t *teller) move(begun int64, to place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.heard != nil && t.heard.at == begun {
		moved := *t.heard
		moved.place = to
		t.heard = &moved
	}
	for i := range t.marks {
		if m := &t.marks[i]; m.event.Kind == NewTrack && m.at == begun {
			m.place = to
		}
	}
}

// tell tells what is due.
func (t *teller) tell(tr *transport, rate int) {
	for {
		t.mu.Lock()
		if len(t.marks) == 0 || !t.marks[0].due(tr.heard()) {
			t.mu.Unlock()
			return
		}
		m := t.marks[0]
		t.marks = slices.Delete(t.marks, 0, 1)
		switch m.event.Kind {
		case NewTrack:
			t.heard = &m
		case EndTrack:
			if t.heard != nil && t.heard.at == m.begun {
				t.heard = nil
			}
		}
		t.busy = true
		t.mu.Unlock()
		m.event.At, m.event.Rate = m.at-tr.skipped.Load()+tr.silence.Load(), rate
		t.emit(m.event)
		t.mu.Lock()
		t.busy = false
		t.mu.Unlock()
		poke(t.told)
	}
}

// run tells until ctx ends, and then what is still due.
func (t *teller) run(ctx context.Context, tr *transport, rate int) {
	var underruns int64
	for {
		select {
		case <-tr.passed:
		case <-t.news:
		case <-ctx.Done():
			t.tell(tr, rate)
			return
		}
		t.tell(tr, rate)
		if n := tr.underruns.Load(); n > underruns {
			underruns = n
			e := Event{Kind: Underrun, At: tr.sent.Load(), Rate: rate}
			if m, ok := t.now(); ok {
				e.Name, e.Playlist, e.CID = m.event.Name, m.event.Playlist, m.event.CID
			}
			t.emit(e)
		}
	}
}
