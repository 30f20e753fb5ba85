package meet_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	p2p "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"playnode/meet"
	"playnode/node"
)

// tagOf is written from SPEC alone.
func tagOf(name, label string, nonce []byte, asker, answerer string) []byte {
	h := hmac.New(sha256.New, []byte(name))
	h.Write([]byte("playnode/v1/" + label + "\x00\x20"))
	h.Write(nonce)
	h.Write([]byte{byte(len(asker))})
	h.Write([]byte(asker))
	h.Write([]byte{byte(len(answerer))})
	h.Write([]byte(answerer))
	return h.Sum(nil)
}

func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// question is one of from's to to, about one name, with no record.
func question(t *testing.T, from, to *peer, name string) []byte {
	nonce := bytes.Repeat([]byte{7}, 32)
	q := append(slices.Clone(nonce), 8)
	q = append(q, tagOf(name, "peers-ask", nonce, from.ID(), to.ID())...)
	q = append(q, make([]byte, 7*32)...)
	return append(q, 0, 0)
}

type answer struct {
	status  byte
	own     []byte
	matches int
	records [][]byte
}

// ask sends raw bytes; status 255 stands for a stream that was reset.
func ask(t *testing.T, from, to *peer, raw []byte) (a answer) {
	t.Helper()
	s, err := from.Open(t.Context(), to.ID(), meet.Protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Reset()
	s.Write(raw)
	s.CloseWrite()
	got, err := io.ReadAll(s)
	if err != nil || len(got) == 0 {
		return answer{status: 255}
	}
	r := bytes.NewBuffer(got)
	a.status, _ = r.ReadByte()
	if a.status != 0 {
		return a
	}
	next := func() []byte { return slices.Clone(r.Next(int(binary.BigEndian.Uint16(r.Next(2))))) }
	a.own = next()
	matches, _ := r.ReadByte()
	a.matches = int(matches)
	for range a.matches {
		r.Next(33)
		n, _ := r.ReadByte()
		for range n {
			a.records = append(a.records, next())
		}
	}
	return a
}

// sealed signs a peer record of id by key.
func sealed(t *testing.T, key crypto.PrivKey, id p2p.ID, addrs ...string) []byte {
	t.Helper()
	r := &p2p.PeerRecord{PeerID: id, Seq: 1}
	for _, a := range addrs {
		r.Addrs = append(r.Addrs, ma.StringCast(a))
	}
	env, err := record.Seal(r, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := env.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func identity(t *testing.T) (crypto.PrivKey, p2p.ID) {
	t.Helper()
	k, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		// a nil reader is not taken by every version
		_, raw, _ := ed25519.GenerateKey(nil)
		if k, err = crypto.UnmarshalEd25519PrivateKey(raw); err != nil {
			t.Fatal(err)
		}
	}
	id, err := p2p.IDFromPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return k, id
}

// TestQuestions: what a stranger, and whoever breaks the rules, gets.
func TestQuestions(t *testing.T) {
	hub := newPeer(t)
	hub.follow(nil, name)
	friend := newPeer(t, hub.Addrs()[0])
	friend.follow(nil, name)
	until(t, "they have met", func() bool { return len(hub.Neighbours(name)) == 1 })
	asker := func() *peer {
		p := newPeer(t, hub.Addrs()[0])
		p.meets(hub)
		return p
	}
	p := asker()
	if a := ask(t, p, hub, question(t, p, hub, name)); a.status != 0 || a.matches != 1 || len(a.records) != 1 || a.own == nil {
		t.Fatalf("one who knows the name got %+v", a)
	} else if r, err := p.Learn(a.records[0]); err != nil || r.Peer != friend.ID() {
		t.Fatalf("was introduced to %s (%v)", r.Peer, err)
	}
	if a := ask(t, p, hub, question(t, p, hub, "another")); a.status != 0 || a.matches != 0 || len(a.own) != 0 {
		t.Errorf("one who does not know the name got %+v", a)
	}
	// What the friend asked is nothing to whoever passes it on.
	if a := ask(t, p, hub, question(t, friend, hub, name)); a.matches != 0 {
		t.Error("another's tag was taken")
	}
	q := question(t, p, hub, name)
	body := q[:len(q)-2]
	key, id := identity(t)
	forged := sealed(t, key, id, "/ip4/127.0.0.1/tcp/4001")
	forged[len(forged)-1] ^= 1
	count := func(n byte) []byte { b := slices.Clone(body); b[32] = n; return b }
	for what, raw := range map[string][]byte{
		"no tags":             append(slices.Clone(q[:32]), 0, 0, 0),
		"seven tags":          count(7),
		"255 tags":            append(count(255), make([]byte, 1<<14)...),
		"a giant record":      append(append(slices.Clone(body), 0xff, 0xff), make([]byte, 0xffff)...),
		"a record cut short":  append(slices.Clone(body), 1, 0, 5),
		"nonsense":            append(slices.Clone(body), framed([]byte("nonsense"))...),
		"another's record":    append(slices.Clone(body), framed(sealed(t, key, id, "/ip4/127.0.0.1/tcp/4001"))...),
		"a forged record":     append(slices.Clone(body), framed(forged)...),
		"nothing":             {},
		"half of a question":  q[:100],
		"a record of nowhere": append(slices.Clone(body), framed(sealed(t, key, id))...),
	} {
		if a := ask(t, p, hub, raw); a.status != 255 {
			t.Errorf("%s got %+v", what, a)
		}
	}
	// A flood is told so, and others are served.
	flood := asker()
	busy := 0
	for range 20 {
		if ask(t, flood, hub, question(t, flood, hub, name)).status == 1 {
			busy++
		}
	}
	if busy < 10 {
		t.Errorf("of 20 questions in a row %d were too many", busy)
	}
	honest := asker()
	if a := ask(t, honest, hub, question(t, honest, hub, name)); a.status != 0 || a.matches != 1 {
		t.Errorf("beside a flood an honest asker got %+v", a)
	}
}

// liar answers questions about name as say makes it, and tells of each.
func liar(t *testing.T, p *peer, say func(index byte, proof []byte) []byte) <-chan struct{} {
	asked := make(chan struct{}, 64)
	p.Handle(meet.Protocol, func(from string, s node.Stream) {
		defer s.Close()
		q, err := io.ReadAll(s)
		if err != nil || len(q) < 33 {
			return
		}
		want := tagOf(name, "peers-ask", q[:32], from, p.ID())
		for i := range int(q[32]) {
			if bytes.Equal(q[33+32*i:][:32], want) {
				s.Write(say(byte(i), tagOf(name, "peers-answer", q[:32], from, p.ID())))
			}
		}
		asked <- struct{}{}
	})
	return asked
}

// TestAnswers: what a peer tells is believed whole or not at all.
func TestAnswers(t *testing.T) {
	// target counts who is dialled.
	dialled := func(t *testing.T) (*peer, *atomic.Int32) {
		p, n := newPeer(t), new(atomic.Int32)
		p.OnConnect(func(string) { n.Add(1) })
		return p, n
	}
	for what, say := range map[string]func(t *testing.T, index byte, proof, good []byte) []byte{
		"a good one": func(t *testing.T, i byte, proof, good []byte) []byte {
			return slices.Concat([]byte{0, 0, 0, 1, i}, proof, []byte{1}, framed(good))
		},
		"no proof": func(t *testing.T, i byte, proof, good []byte) []byte {
			return slices.Concat([]byte{0, 0, 0, 1, i}, make([]byte, 32), []byte{1}, framed(good))
		},
		"a forged one behind a good one": func(t *testing.T, i byte, proof, good []byte) []byte {
			forged := slices.Clone(good)
			forged[len(forged)-1] ^= 1
			return slices.Concat([]byte{0, 0, 0, 1, i}, proof, []byte{2}, framed(good), framed(forged))
		},
		"a name twice": func(t *testing.T, i byte, proof, good []byte) []byte {
			one := slices.Concat([]byte{i}, proof, []byte{1}, framed(good))
			return slices.Concat([]byte{0, 0, 0, 2}, one, one)
		},
		"seventeen": func(t *testing.T, i byte, proof, good []byte) []byte {
			return slices.Concat([]byte{0, 0, 0, 1, i}, proof, []byte{17}, bytes.Repeat(framed(good), 17))
		},
		"another's as its own": func(t *testing.T, i byte, proof, good []byte) []byte {
			return slices.Concat([]byte{0}, framed(good), []byte{1, i}, proof, []byte{1}, framed(good))
		},
		"a giant": func(t *testing.T, i byte, proof, good []byte) []byte {
			return slices.Concat([]byte{0, 0, 0, 1, i}, proof, []byte{1, 0xff, 0xff}, make([]byte, 0xffff))
		},
	} {
		t.Run(what, func(t *testing.T) {
			target, hits := dialled(t)
			evil := newPeer(t)
			evil.Connect(t.Context(), over(target))
			evil.meets(target)
			good := target.Own(evil.ID())
			asked := liar(t, evil, func(i byte, proof []byte) []byte { return say(t, i, proof, good) })
			venue := newPeer(t, over(evil))
			venue.follow(nil, name)
			<-asked
			if what == "a good one" {
				venue.meets(target)
				return
			}
			// The next answer is asked for when this one has been judged.
			honest := newPeer(t)
			honest.follow(nil, name)
			venue.Connect(t.Context(), over(honest))
			until(t, "it goes on with others", func() bool { return len(venue.Neighbours(name)) == 1 })
			if n := hits.Load(); n != 1 || slices.Contains(venue.Neighbours(name), evil.ID()) {
				t.Errorf("%d dialled the one whom the answer told of", n-1)
			}
		})
	}
}

// TestDeadRecords: one who tells of peers that are not there is believed only
// so often.
func TestDeadRecords(t *testing.T) {
	c := newClock()
	evil := newPeer(t)
	var told atomic.Int32
	asked := liar(t, evil, func(i byte, proof []byte) []byte {
		out := slices.Concat([]byte{0, 0, 0, 1, i}, proof, []byte{16})
		for range 16 {
			key, id := identity(t)
			out = append(out, framed(sealed(t, key, id, "/ip4/127.0.0.1/tcp/9"))...)
			told.Add(1)
		}
		return out
	})
	d := &dials{}
	venue := newPeer(t, over(evil))
	venue.follow(func(cfg *meet.Config) {
		d.Records = cfg.Records
		cfg.Records, cfg.Now = d, c.now
	}, name)
	<-asked
	for range 5 { // an hour later it would be believed anew
		until(t, "it has dialled what it may", func() bool { return d.now.Load() == 0 && d.all.Load() >= 8 })
		c.forward(11 * time.Minute)
		venue.Look()
	}
	<-asked
	until(t, "it has judged", func() bool { return d.now.Load() == 0 })
	if all, most := d.all.Load(), d.most.Load(); all > 24 || most > 4 {
		t.Errorf("of %d told it dialled %d, %d at once", told.Load(), all, most)
	}
}

var update = flag.Bool("update", false, "write testdata anew")

// TestVectors: the bytes of one question and answer, as SPEC has them.
func TestVectors(t *testing.T) {
	nonce := make([]byte, 32)
	for i := range nonce {
		nonce[i] = byte(i)
	}
	asker, answerer := "12D3KooWJtxMSiy5aZMkDTByBMYi4bCnHDFbE5T9ezBbsCTyoRZ6", "12D3KooWBhMkkVsLHDyMfHwkGkDn5G5gUCQKUEC3hEQVvhcCZyeQ"
	v := map[string]string{
		"name": name, "nonce": hex.EncodeToString(nonce), "asker": asker, "answerer": answerer,
		"question": hex.EncodeToString(tagOf(name, "peers-ask", nonce, asker, answerer)),
		"answer":   hex.EncodeToString(tagOf(name, "peers-answer", nonce, asker, answerer)),
	}
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "peers.json")
	if *update {
		if err := os.WriteFile(path, append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != string(raw)+"\n" {
		t.Fatalf("%s is otherwise (%v)", path, err)
	}
}
