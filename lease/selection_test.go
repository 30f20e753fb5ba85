package lease

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/manifests"
)

func TestMKIsDrawnAnew(t *testing.T) {
	d := newDJ(t, manifests.Day)
	d.addTrack("one")
	d.addTrack("two")
	d.publish()
	for _, step := range []struct {
		what string
		do   func()
		anew bool
	}{
		{"nothing changed", func() {}, false},
		{"a track added", func() { d.addTrack("three") }, false},
		{"order changed", func() { slices.Reverse(d.order) }, false},
		{"a track removed", func() { d.order = d.order[1:] }, true},
		{"later in the period", func() { d.now += manifests.Day - 1 }, false},
		{"the next period", func() { d.now++ }, true},
		{"another generation", func() { d.sel.Gen++; d.sel.R = seal.NewKey() }, true},
		{"a track exchanged", func() { d.order[0] = d.addTrack("four"); d.order = d.order[:len(d.order)-1] }, true},
		{"nothing changed again", func() {}, false},
		{"another root", func() {
			dj, prev := d.chain.DJ(), manifests.Digest(d.roots[0].Payload.CID)
			d.addRoot(&manifests.Root{N: 2, DJ: &dj, Prev: &prev, IAT: d.now})
		}, true},
	} {
		mk, seq := d.sel.MK, d.sel.Seq
		step.do()
		d.publish()
		if d.sel.MK.Equal(mk) == step.anew {
			t.Errorf("%s: drawn anew is not %v", step.what, step.anew)
		}
		if want := seq + 1; d.sel.Seq != want && step.what != "another root" || step.what == "another root" && d.sel.Seq != 1 {
			t.Errorf("%s: seq %d after %d", step.what, d.sel.Seq, seq)
		}
	}
}

func TestUnchangedBlocksKeepTheirBytes(t *testing.T) {
	d := newDJ(t, 0)
	for i := range 400 {
		d.addTrack(fmt.Sprint(i))
	}
	a := d.publish()
	b := d.publish()
	if a.RID == b.RID || a.Lock[0] == b.Lock[0] {
		t.Error("two revisions share a lock")
	}
	if a.Tracks != b.Tracks || !slices.Equal(a.Meta, b.Meta) || !slices.Equal(a.Boxes, b.Boxes) {
		t.Error("nothing changed, and blocks moved")
	}
	if *b.Prev != manifests.Digest(manifests.NewBlock(mustEncode(t, a)).CID) {
		t.Error("prev is not the digest of the revision before")
	}
	d.addTrack("more")
	c := d.publish()
	if c.Tracks == b.Tracks || !slices.Equal(c.Boxes, b.Boxes) {
		t.Error("a track more: the spine must move, the mailboxes must not")
	}
	d.now += manifests.Week
	e := d.publish()
	if slices.Equal(e.Boxes, c.Boxes) || e.Tracks == c.Tracks || slices.Equal(e.Meta, c.Meta) {
		t.Error("something survived its period")
	}
	shard, err := manifests.DecodeBoxShard(d.store[e.Boxes[0]])
	if err != nil || shard.Class() != 2048 {
		t.Error(err)
	}
}

func mustEncode(t *testing.T, m *manifests.Manifest) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDummiesAreSealedForReal(t *testing.T) {
	for unit, class := range map[int64]int{manifests.Week: 2048, manifests.Day: 4096} {
		d := newDJ(t, unit)
		m := d.publish()
		b, err := d.sel.shard(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := manifests.DecodeBoxShard(b.Data)
		if err != nil || s.Class() != class || len(b.Data) > manifests.MaxBlock {
			t.Fatal(err)
		}
		// enc ends in an X25519 point, whose top bit a real one never has.
		for i, e := range s.E {
			if e.Blob.Enc[1119]&0x80 != 0 {
				t.Errorf("dummy %d can be told from a sealed grant", i)
			}
		}
	}
	// A grant of a whole window fits its mailbox with four hints.
	for unit, class := range map[int64]int{manifests.Week: 2048, manifests.Day: 4096} {
		d, v := newDJ(t, unit), newVenue(t)
		price, ref := &manifests.Price{Amount: manifests.MaxInt, Currency: "EUR"}, string(bytes.Repeat([]byte("r"), 64))
		g := d.grant(v.id, Terms{From: start, Until: start + 400*manifests.Day, Price: price, Payref: &ref, Req: &[32]byte{1}})
		g.Roots = nil
		for range 4 {
			g.Hints = append(g.Hints, string(bytes.Repeat([]byte("h"), 128)))
		}
		plain, err := g.Encode()
		if err != nil || len(plain)+4 > class {
			t.Errorf("periods of %d s: a grant of %d bytes, its mailbox has %d (%v)", unit, len(plain), class, err)
		}
	}
}

// sealing is one use of a key with nonce 0.
type sealing struct {
	what string
	text []byte
}

// No (key, nonce) pair seals two texts, over many revisions, of which some
// are lost between drawing MK and signing, as by a kill.
func TestNoKeyAndNonceRepeat(t *testing.T) {
	d := newDJ(t, manifests.Day)
	once := map[seal.Key]sealing{}
	note := func(k seal.Key, what string, sealed []byte) {
		t.Helper()
		if o, ok := once[k]; ok && !bytes.Equal(o.text, sealed) {
			t.Fatalf("%s and %s: one key and nonce, two ciphertexts", what, o.what)
		}
		once[k] = sealing{what, bytes.Clone(sealed)}
	}
	random := map[string]bool{}
	for i := range 60 {
		switch i % 6 {
		case 1, 2:
			d.addTrack(fmt.Sprint("track ", i))
		case 3:
			d.order = d.order[1:]
		case 4:
			d.now += manifests.Day
		case 5:
			d.now += manifests.Day / 3
		}
		if len(d.order) == 0 {
			d.addTrack("first")
		}
		r, next, err := d.sel.Revise(d.draft())
		if err != nil {
			t.Fatal(err)
		}
		m := &r.Manifest
		for j, lock := range m.Lock {
			p := m.Cur + uint64(j)
			k, _ := lockFor(periodKey(d.sel.R, m.DJ, m.Sel, m.Gen, m.Unit, p), m, p)
			note(k, fmt.Sprintf("revision %d lock %d", i, j), lock[:])
		}
		for _, e := range d.entries2(r.Blocks, m) {
			k, _ := trackFor(next.MK, m.DJ, m.Sel, e.Track.Bytes())
			note(k, fmt.Sprintf("revision %d wrap of %s", i, e.Track), e.Wrap[:])
		}
		for _, b := range r.Blocks {
			if b.CID.Prefix().Codec == cid.Raw { // meta
				if nonce := string(b.Data[:24]); random[nonce] {
					t.Fatal("a random nonce repeats")
				} else {
					random[nonce] = true
				}
			}
		}
		if i%4 == 2 {
			continue // killed: the next one begins where the last signed one ended
		}
		payload := manifests.NewBlock(mustEncode(t, m))
		d.sel = next.Signed(payload)
	}
	if len(once) < 1000 || len(random) < 30 {
		t.Errorf("looked at %d keys and %d nonces only", len(once), len(random))
	}
}

func TestSelectionAtRest(t *testing.T) {
	d := newDJ(t, 0)
	d.addTrack("one")
	d.publish()
	b, err := d.sel.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := DecodeSelection(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Encode()
	if err != nil || !bytes.Equal(again, b) {
		t.Error("it does not keep its bytes")
	}
	for _, bad := range []string{"", "{}", "null", string(b[:len(b)/2])} {
		if _, err := DecodeSelection([]byte(bad)); err == nil {
			t.Errorf("%.20q decodes", bad)
		}
	}
}

func TestGrantRefusesTermsOutOfRange(t *testing.T) {
	d, v := newDJ(t, manifests.Day), newVenue(t)
	dev := manifests.Device{K: v.id.Sign.Public(), PK: v.id.Open.Public()}
	for name, terms := range map[string]Terms{
		"a window over H":       {From: start, Until: start + 9, Window: 45*manifests.Day + 1},
		"a window below 0":      {From: start, Until: start + 9, Window: -1},
		"ends before it begins": {From: start, Until: start},
		"grace without end":     {From: start, Until: start + 9, Grace: manifests.MaxInt},
		"grace below 0":         {From: start, Until: start + 9, Grace: -1},
	} {
		terms.Device = dev
		if _, err := d.sel.Grant(start, 1, d.pub, terms); err == nil {
			t.Errorf("%s: granted", name)
		}
	}
}
