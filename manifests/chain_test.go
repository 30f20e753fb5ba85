package manifests

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
)

func signRoot(t *testing.T, r *Root, keys ...ed25519.PrivateKey) Signed {
	t.Helper()
	payload, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Sign(TypeRoot, payload, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nextRoot follows s.
func nextRoot(s Signed, n uint64, dj DJ, keys ...ed25519.PrivateKey) *Root {
	r := testRoot(keys...)
	prev := Digest(s.Payload.CID)
	r.N, r.DJ, r.Prev = n, &dj, &prev
	return r
}

func TestChain(t *testing.T) {
	a, b, c, d := testKey(1), testKey(2), testKey(3), testKey(4)
	r1 := testRoot(a, b, c)
	r1.Thr = 2
	s1 := signRoot(t, r1, a, b)
	dj := DJ(Digest(s1.Payload.CID))
	r2 := nextRoot(s1, 2, dj, d)
	s2 := signRoot(t, r2, b, c, d)
	r3 := nextRoot(s2, 3, dj, d)
	s3 := signRoot(t, r3, d)
	chain, err := VerifyChain([]Signed{s1, s2, s3})
	if err != nil || chain.DJ() != dj || chain.Newest().N != 3 || chain.Root(2).Keys[0] != pub(d) || chain.Root(4) != nil {
		t.Fatal(err)
	}
	short, err := VerifyChain([]Signed{s1, s2})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := chain.Follows(short); !ok || err != nil {
		t.Error("a longer chain does not follow a shorter")
	}
	if ok, err := short.Follows(chain); ok || err != nil {
		t.Error("a shorter chain follows a longer")
	}
	r2b := nextRoot(s1, 2, dj, d)
	r2b.IAT++
	fork, err := VerifyChain([]Signed{s1, signRoot(t, r2b, b, c, d)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fork.Follows(chain); !errors.Is(err, ErrFork) {
		t.Errorf("a second root 2: %v", err)
	}

	early := nextRoot(s1, 2, dj, d)
	early.IAT = 999
	other := nextRoot(s1, 2, DJ{5}, d)
	unlinked := nextRoot(s1, 2, dj, d)
	unlinked.Prev = testDigest(1)
	for name, roots := range map[string][]Signed{
		"none":                         {},
		"root 2 first":                 {s2},
		"root 3 after 1":               {s1, s3},
		"root 1 twice":                 {s1, s1},
		"one of two signatures":        {signRoot(t, r1, a)},
		"a key from elsewhere":         {signRoot(t, r1, a, b, d)},
		"old keys only":                {s1, signRoot(t, r2, a, b)},
		"new keys only":                {s1, signRoot(t, r2, d)},
		"one old key and the new":      {s1, signRoot(t, r2, a, d)},
		"dated before its predecessor": {s1, signRoot(t, early, a, b, d)},
		"another DJ":                   {s1, signRoot(t, other, a, b, d)},
		"prev is another":              {s1, signRoot(t, unlinked, a, b, d)},
		"a payload that was exchanged": {{s1.Env, s2.Payload}},
	} {
		if _, err := VerifyChain(roots); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// One key twice does not meet a threshold of two: neither the envelope nor
// the set of keys can hold it twice.
func TestOneKeyCountsOnce(t *testing.T) {
	a, b := testKey(1), testKey(2)
	r := testRoot(a, b)
	payload, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(TypeRoot, payload, a, a); err == nil {
		t.Error("an envelope with one key twice")
	}
	r.Keys = []Key{pub(a), pub(a)}
	if _, err := r.Encode(); err == nil {
		t.Error("a root with one key twice")
	}
	r = testRoot(a, b)
	for _, thr := range []uint64{0, 3} {
		r.Thr = thr
		if _, err := r.Encode(); err == nil {
			t.Errorf("threshold %d of 2", thr)
		}
	}
}

func TestSignersAreHeldToRoleTimeAndRoot(t *testing.T) {
	rootKey, all, grants, wrong, always := testKey(1), testKey(2), testKey(3), testKey(4), testKey(5)
	r := testRoot(rootKey)
	r.IAT, r.Pub = 1_700_000_000, []Publisher{
		{K: pub(all), Roles: []Role{RoleGrant, RoleManifest}, NBF: 1_750_000_000, Exp: 1_850_000_000},
		{K: pub(grants), Roles: []Role{RoleGrant}, Exp: 2_000_000_000},
		{K: pub(always), Roles: []Role{RoleManifest}, Exp: 2_000_000_000},
	}
	slices.SortFunc(r.Pub, func(a, b Publisher) int { return bytes.Compare(a.K[:], b.K[:]) })
	r.Gens = []LeastGen{{SelID{3}, 1}}
	s := signRoot(t, r, rootKey)
	chain, err := VerifyChain([]Signed{s})
	if err != nil {
		t.Fatal(err)
	}
	manifest := func(k ed25519.PrivateKey, change func(*Manifest)) error {
		m := testManifest()
		m.DJ = chain.DJ()
		change(m)
		m.Cur = Period(m.IAT, m.Unit)
		payload, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Sign(TypeManifest, payload, k)
		if err != nil {
			t.Fatal(err)
		}
		_, err = chain.OpenManifest(s)
		return err
	}
	if err := manifest(all, func(m *Manifest) {}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"role grant":         manifest(grants, func(m *Manifest) {}),
		"unlisted":           manifest(wrong, func(m *Manifest) {}),
		"the root key":       manifest(rootKey, func(m *Manifest) {}),
		"before nbf":         manifest(all, func(m *Manifest) { m.IAT = 1_749_999_999 }),
		"at exp":             manifest(all, func(m *Manifest) { m.IAT = 1_850_000_000 }),
		"before its root":    manifest(always, func(m *Manifest) { m.IAT = 1_699_999_999 }),
		"another root":       manifest(all, func(m *Manifest) { m.RootN = 2 }),
		"rootn 2^53-1":       manifest(all, func(m *Manifest) { m.RootN = MaxInt }),
		"another DJ":         manifest(all, func(m *Manifest) { m.DJ[0] ^= 1 }),
		"gen below the root": manifest(all, func(m *Manifest) { m.Gen = 0 }),
	} {
		if !errors.Is(err, ErrUnauthorised) {
			t.Errorf("manifest by %s: %v", name, err)
		}
	}
	if err := manifest(always, func(m *Manifest) { m.IAT = 1_700_000_000 }); err != nil {
		t.Errorf("at its root's date: %v", err)
	}
	if err := manifest(all, func(m *Manifest) { m.IAT = 1_750_000_000 }); err != nil {
		t.Errorf("at nbf: %v", err)
	}

	g := testGrant()
	g.DJ, g.Win = chain.DJ(), nil
	payload, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	gs, err := Sign(TypeGrant, payload, grants)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chain.OpenGrant(gs); err != nil {
		t.Error(err)
	}
	if _, err := chain.OpenManifest(gs); !errors.Is(err, ErrInvalid) {
		t.Errorf("a grant as a manifest: %v", err)
	}
	// A grant's signature in an envelope that says manifest.
	e, err := OpenEnvelope(gs.Env.Data)
	if err != nil {
		t.Fatal(err)
	}
	e.Type = TypeManifest
	data, err := encode(e, maxEnv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEnvelope(data); !errors.Is(err, ErrInvalid) {
		t.Errorf("a grant's signature replayed as a manifest's: %v", err)
	}
	// A manifest that its own key signed as a head.
	m := testManifest()
	m.DJ = chain.DJ()
	if payload, err = m.Encode(); err != nil {
		t.Fatal(err)
	}
	h := Envelope{Type: TypeHead, Payload: NewBlock(payload).CID}
	h.Sigs = []Sig{{pub(always), [64]byte(ed25519.Sign(always, signedBytes(TypeHead, h.Payload)))}}
	if data, err = encode(&h, maxEnv); err != nil {
		t.Fatal(err)
	}
	if _, err := chain.OpenManifest(Signed{NewBlock(data), NewBlock(payload)}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a manifest signed as a head: %v", err)
	}
	// An edited manifest under the envelope of the one before the edit.
	whole, err := Sign(TypeManifest, payload, always)
	if err != nil {
		t.Fatal(err)
	}
	m.Seq++
	if payload, err = m.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, err := chain.OpenManifest(Signed{whole.Env, NewBlock(payload)}); !errors.Is(err, ErrInvalid) {
		t.Errorf("an edited manifest: %v", err)
	}
	// One signature too many.
	if _, err := Sign(TypeManifest, payload, always, all); !errors.Is(err, ErrInvalid) {
		t.Errorf("a manifest with two signatures: %v", err)
	}
}

func TestHeadAgreesWithItsManifests(t *testing.T) {
	h := &Head{DJ: DJ{1}, RootN: 1, Seq: 1, Exp: 1_900_000_000, Roots: []cid.Cid{testLink(codecDagCBOR, 1)},
		Sels: []Listed{{SelID{3}, "main", testLink(codecDagCBOR, 2)}}}
	m := testManifest()
	if err := h.Agree([]*Manifest{m}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Manifest){
		"another DJ":        func(m *Manifest) { m.DJ[0]++ },
		"another root":      func(m *Manifest) { m.RootN++ },
		"another selection": func(m *Manifest) { m.Sel[0]++ },
		"another end":       func(m *Manifest) { m.Exp++ },
	} {
		bad := *m
		change(&bad)
		if h.Agree([]*Manifest{&bad}) == nil {
			t.Errorf("%s: agrees", name)
		}
	}
	if h.Agree(nil) == nil {
		t.Error("a manifest is missing, and it agrees")
	}
	for name, change := range map[string]func(*Head){
		"a root too many": func(h *Head) { h.Roots = append(h.Roots, h.Roots[0]) },
		"label twice":     func(h *Head) { h.Sels = append(h.Sels, Listed{SelID{9}, "main", h.Sels[0].Manifest}) },
		"selection twice": func(h *Head) { h.Sels = append(h.Sels, Listed{SelID{3}, "b", h.Sels[0].Manifest}) },
		"unsorted":        func(h *Head) { h.Sels = append(h.Sels, Listed{SelID{1}, "b", h.Sels[0].Manifest}) },
		"label with /":    func(h *Head) { h.Sels[0].Label = "a/b" },
		"no label":        func(h *Head) { h.Sels[0].Label = "" },
	} {
		bad := *h
		bad.Sels, bad.Roots = slices.Clone(h.Sels), slices.Clone(h.Roots)
		change(&bad)
		if _, err := bad.Encode(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Go takes keys of small order, with which a signature holds for many
// messages, and encodings of y that are not reduced.
func TestWeakKeysAreRefused(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	msg := []byte("anything")
	sig := make([]byte, 64)
	sig[0] = 1 // R the identity, S = 0
	id := Key{1}
	if !ed25519.Verify(id[:], msg, sig) {
		t.Fatal("Go refuses the identity as a key by itself: the check is no longer needed")
	}
	if verify(id, msg, [64]byte(sig)) {
		t.Error("a signature by the identity holds")
	}
	for _, y := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			k := y
			k[31] |= sign
			if strongKey(k) {
				t.Errorf("%x is of small order", k)
			}
		}
		if n := new(big.Int).SetBytes(reversed(y[:])); n.Cmp(p) >= 0 {
			t.Errorf("%x is not reduced: it is another point", y)
		}
		if order := pointOrder(t, y); order != 1 && order != 2 && order != 4 && order != 8 {
			t.Errorf("%x has order %d", y, order)
		}
	}
	for i := range int64(19) { // y = p .. 2^255-1
		var k Key
		copy(k[:], reversed(new(big.Int).Add(p, big.NewInt(i)).Bytes()))
		if strongKey(k) {
			t.Errorf("y = p+%d is taken", i)
		}
	}
	if !strongKey(pub(testKey(1))) {
		t.Error("a good key is refused")
	}
}

// pointOrder is the order of the point with this y by the curve's own
// arithmetic, or 16 where it is over 8.
func pointOrder(t *testing.T, y Key) int {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	mod := func(x *big.Int) *big.Int { return x.Mod(x, p) }
	mul := func(a, b *big.Int) *big.Int { return mod(new(big.Int).Mul(a, b)) }
	inv := func(a *big.Int) *big.Int { return new(big.Int).ModInverse(a, p) }
	d := mul(big.NewInt(-121665), inv(big.NewInt(121666)))
	Y := new(big.Int).SetBytes(reversed(y[:]))
	yy := mul(Y, Y)
	xx := mul(new(big.Int).Sub(yy, big.NewInt(1)), inv(mod(new(big.Int).Add(mul(d, yy), big.NewInt(1)))))
	X := new(big.Int).ModSqrt(xx, p)
	if X == nil {
		t.Fatalf("%x is not on the curve", y)
	}
	x, yv := X, Y
	for order := 1; order <= 8; order++ {
		if x.Sign() == 0 && yv.Cmp(big.NewInt(1)) == 0 {
			return order
		}
		k := mul(mul(d, mul(x, X)), mul(yv, Y))
		nx := mul(mod(new(big.Int).Add(mul(x, Y), mul(yv, X))), inv(mod(new(big.Int).Add(big.NewInt(1), k))))
		ny := mul(mod(new(big.Int).Add(mul(yv, Y), mul(x, X))), inv(mod(new(big.Int).Sub(big.NewInt(1), k))))
		x, yv = nx, ny
	}
	return 16
}

func reversed(b []byte) []byte {
	b = slices.Clone(b)
	slices.Reverse(b)
	return b
}

// A signature with S+L is another signature of the same message: refused.
func TestSignaturesAreNotMalleable(t *testing.T) {
	k := testKey(1)
	d := &Device{K: pub(k)}
	payload, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Sign(TypeDevice, payload, k)
	if err != nil {
		t.Fatal(err)
	}
	e, err := OpenEnvelope(s.Env.Data)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	S := new(big.Int).SetBytes(reversed(e.Sigs[0].S[32:]))
	plus := make([]byte, 32)
	copy(plus, reversed(S.Add(S, l).Bytes()))
	bad := *e
	bad.Sigs = slices.Clone(e.Sigs)
	copy(bad.Sigs[0].S[32:], plus)
	data, err := encode(&bad, maxEnv)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenEnvelope(data); err == nil {
		t.Error("S + L is accepted")
	}
	if _, err := OpenDevice(s); err != nil {
		t.Error(err)
	}
}

func TestDeviceSignsItself(t *testing.T) {
	d := &Device{K: pub(testKey(1))}
	payload, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	other, err := Sign(TypeDevice, payload, testKey(2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDevice(other); !errors.Is(err, ErrUnauthorised) {
		t.Errorf("signed by another: %v", err)
	}
	s, err := Sign(TypeDevice, payload, testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	text := DeviceText(s)
	got, back, err := ParseDevice(text)
	if err != nil || got.K != d.K || back.Env.CID != s.Env.CID || back.Payload.CID != s.Payload.CID || DeviceText(back) != text {
		t.Fatal(err)
	}
	for i := 0; i < len(text); i += 7 {
		b := []byte(text)
		b[i] = 'b' + (b[i]-'a'+1)%20
		if string(b) == text {
			continue
		}
		if _, _, err := ParseDevice(string(b)); err == nil {
			t.Fatalf("letter %d changed: accepted", i)
		}
	}
	for _, bad := range []string{"", "pndev1", text[:len(text)-1], text + "a", "pndev2" + text[6:], text[:8] + "\n" + text[8:]} {
		if _, _, err := ParseDevice(bad); err == nil {
			t.Errorf("%.20q...: accepted", bad)
		}
	}
}

func TestLinks(t *testing.T) {
	dj, name := DJ{1, 2}, NewName(pub(testKey(1)))
	for _, l := range []Link{
		{Name: name},
		{Name: name, Label: "Friday night"},
		{DJ: &dj, Name: name},
		{DJ: &dj, Name: name, Label: "Café & más?#%", Addrs: []string{"/ip4/1.2.3.4/tcp/5", "/dns/x.y/udp/1/quic-v1"}},
	} {
		got, err := ParseLink(" " + l.String() + "\n")
		if err != nil || got.String() != l.String() || got.Label != l.Label || got.Name != name || (got.DJ == nil) != (l.DJ == nil) || !slices.Equal(got.Addrs, l.Addrs) {
			t.Errorf("%s: %+v %v", l, got, err)
		}
		for _, web := range []string{l.Web("dweb.link"), strings.Replace(l.String(), "playnode://", "https://x.example/", 1)} {
			if !strings.HasPrefix(web, "https://") {
				continue // a bare name has no such form
			}
			if got, err := ParseLink(web); err != nil || got.String() != l.String() || !slices.Equal(got.Addrs, l.Addrs) {
				t.Errorf("%s: %+v %v, want %s", web, got, err, l)
			}
		}
	}
	if l, err := ParseLink("/ipns/" + string(name)); err != nil || l.Name != name {
		t.Error(err)
	}
	d := dj.String()
	for _, bad := range []string{"", "k51", "playnode://", "playnode://" + d, "playnode://" + d + "?n=k51", "playnode://x?n=" + string(name),
		"playnode://" + d + "?n=" + string(name) + "&n=" + string(name), string(name) + "/a/b", string(name) + "x", "http://" + d + "?n=" + string(name),
		"playnode://u@" + d + "?n=" + string(name), "https://", "https://x.example", "https://x.example/ipns/", "https://x.example/ipns/" + string(name) + "?dj=x",
		"https://x.example/ipns/" + string(name) + "?dj=" + d + "&dj=" + d, "https://u@x.example/ipns/" + string(name), "https://x.example/ipns/" + string(name) + "#f",
		"https://x.example/ipns/" + string(name) + "/p", "https://x.example/ipns/" + string(name) + "?p=" + "%E2%80%AE", "playnode://" + d + "/%E2%80%AE?n=" + string(name)} {
		if l, err := ParseLink(bad); err == nil {
			t.Errorf("%q: %+v", bad, l)
		}
	}
	if _, err := ParseDJ(testLink(codecRaw, 1).String()); err == nil {
		t.Error("a raw block's CID is taken for a DJ")
	}
}
