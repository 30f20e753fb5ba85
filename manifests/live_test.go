package manifests

import (
	"errors"
	"testing"
)

// liveChain is root 1 with one key that may go live, and one that may not.
func liveChain(t *testing.T) *Chain {
	t.Helper()
	r := testRoot(testKey(1))
	r.Pub = []Publisher{{K: pub(testKey(50)), Roles: []Role{RoleLive}, NBF: 1000, Exp: 2_000_000_000},
		{K: pub(testKey(51)), Roles: []Role{RoleGrant, RoleManifest}, NBF: 1000, Exp: 2_000_000_000}}
	if string(r.Pub[0].K[:]) > string(r.Pub[1].K[:]) {
		r.Pub[0], r.Pub[1] = r.Pub[1], r.Pub[0]
	}
	payload, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Sign(TypeRoot, payload, testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	c, err := VerifyChain([]Signed{s})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhoMayBeOnAir(t *testing.T) {
	c := liveChain(t)
	for name, x := range map[string]struct {
		key    byte
		change func(l *Live)
		ok     bool
	}{
		"the live key":         {50, func(l *Live) {}, true},
		"the manifest key":     {51, func(l *Live) {}, false},
		"a stranger's":         {52, func(l *Live) {}, false},
		"another DJ's":         {50, func(l *Live) { l.DJ[0] ^= 1 }, false},
		"another root":         {50, func(l *Live) { l.RootN = 2 }, false},
		"a former generation":  {50, func(l *Live) { l.Sel, l.Gen = SelID{2}, 6 }, false},
		"the root's least one": {50, func(l *Live) { l.Sel, l.Gen = SelID{2}, 7 }, true},
	} {
		l := testLive()
		l.DJ = c.DJ()
		x.change(l)
		payload, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Sign(TypeLive, payload, testKey(x.key))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.OpenLive(s); (err == nil) != x.ok || err != nil && !errors.Is(err, ErrUnauthorised) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAHeadIsUnderItsRecord(t *testing.T) {
	c, l := liveChain(t), testLive()
	l.DJ = c.DJ()
	for name, x := range map[string]struct {
		key    byte
		change func(h *LiveHead)
		ok     bool
	}{
		"its first segment":  {50, func(h *LiveHead) { h.Seq = l.From }, true},
		"a later one":        {50, func(h *LiveHead) { h.Seq = 1000 }, true},
		"an earlier one":     {50, func(h *LiveHead) { h.Seq = l.From - 1 }, false},
		"another set's":      {50, func(h *LiveHead) { h.Live[0] ^= 1 }, false},
		"another generation": {50, func(h *LiveHead) { h.Gen++ }, false},
		"another period":     {50, func(h *LiveHead) { h.Cur++ }, false},
		"another DJ's":       {50, func(h *LiveHead) { h.DJ[0] ^= 1 }, false},
		"older than it":      {50, func(h *LiveHead) { h.IAT = l.IAT - 1 }, false},
		"the manifest key":   {51, func(h *LiveHead) {}, false},
	} {
		h := &LiveHead{DJ: l.DJ, Live: l.Live, Gen: l.Gen, Cur: l.Cur, Seq: l.From, Seg: testLink(codecRaw, 1), IAT: l.IAT}
		x.change(h)
		payload, err := h.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Sign(TypeLiveHead, payload, testKey(x.key))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.OpenLiveHead(s, l); (err == nil) != x.ok || err != nil && !errors.Is(err, ErrUnauthorised) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLiveRules(t *testing.T) {
	for name, change := range map[string]func(*Live){
		"cur is not iat's period":     func(l *Live) { l.Cur++ },
		"one lock too few":            func(l *Live) { l.Lock = l.Lock[1:] },
		"another unit":                func(l *Live) { l.Unit = 3600 },
		"no record before the second": func(l *Live) { l.Prev = nil },
		"the second from 0":           func(l *Live) { l.From = 0 },
		"the first from 7":            func(l *Live) { l.Seq, l.Prev = 1, nil },
		"no seq":                      func(l *Live) { l.Seq = 0 },
	} {
		l := testLive()
		change(l)
		if _, err := l.Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*Recorded){
		"no span":                  func(r *Recorded) { r.Spans = nil },
		"begins before its span":   func(r *Recorded) { r.Spans[0].From = 4 },
		"spans not ascending":      func(r *Recorded) { r.Spans[1].From = 0 },
		"a span that is passed by": func(r *Recorded) { r.Spans[1].From = 3 },
		"half a size":              func(r *Recorded) { r.Sizes = r.Sizes[:len(r.Sizes)-1] },
		"a long uvarint":           func(r *Recorded) { r.Sizes = []byte{0x83, 0x00, 0x01} },
		"more media than segment":  func(r *Recorded) { r.Sizes = []byte{3, 4} },
	} {
		r := testRecorded()
		change(r)
		if _, err := (&Info{Codec: "mp3", Rate: 1, Channels: 1, Recorded: r}).Encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := testRecorded()
	for seq, from := range map[uint64]uint64{3: 0, 6: 0, 7: 7, 1000: 7} {
		if s := r.SpanOf(seq); s.From != from {
			t.Errorf("segment %d is in the span from %d", seq, s.From)
		}
	}
}
