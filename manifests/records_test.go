package manifests

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/ipfs/go-cid"
)

// testKey is a signing key that a number determines.
func testKey(n byte) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte{n})
	return ed25519.NewKeyFromSeed(seed[:])
}

func pub(k ed25519.PrivateKey) Key { return Key(k.Public().(ed25519.PublicKey)) }

func testLink(codec uint64, n int) cid.Cid {
	return digestCID(codec, sha256.Sum256(fmt.Append(nil, n)))
}

func testDigest(n int) *[32]byte {
	d := sha256.Sum256(fmt.Append(nil, n))
	return &d
}

func sortedKeys(ks ...ed25519.PrivateKey) []Key {
	var out []Key
	for _, k := range ks {
		out = append(out, pub(k))
	}
	for i := range out {
		for j := range i {
			if bytes.Compare(out[j][:], out[i][:]) > 0 {
				out[i], out[j] = out[j], out[i]
			}
		}
	}
	return out
}

func testRoot(keys ...ed25519.PrivateKey) *Root {
	return &Root{
		N: 1, Keys: sortedKeys(keys...), Thr: uint64(len(keys)), IAT: 1000, Exp: 2_000_000_000,
		Pub:   []Publisher{{K: pub(testKey(50)), Roles: []Role{RoleGrant, RoleLive, RoleManifest}, NBF: 1000, Exp: 2_000_000_000}},
		Names: [2]Name{NewName(pub(testKey(60))), NewName(pub(testKey(61)))},
		Gens:  []LeastGen{{SelID{1}, 1}, {SelID{2}, 7}},
	}
}

func testManifest() *Manifest {
	live := testLink(codecDagCBOR, 9)
	return &Manifest{
		DJ: DJ{1}, RootN: 1, Sel: SelID{3}, Seq: 4, Prev: testDigest(1), IAT: 1_800_000_000, Exp: 1_900_000_000,
		Unit: Week, Cur: Period(1_800_000_000, Week), Gen: 1, Lock: make([]Lock, 8),
		Tracks: testLink(codecDagCBOR, 2), Meta: []cid.Cid{testLink(codecRaw, 3)},
		Boxes: []cid.Cid{testLink(codecDagCBOR, 4)}, Offers: []cid.Cid{testLink(codecDagCBOR, 5)}, Live: &live,
	}
}

func testGrant() *Grant {
	ref := "invoice 7"
	g := &Grant{
		DJ: DJ{1}, RootN: 1, Aud: pub(testKey(70)), Dev: pub(testKey(71)), PKH: *testDigest(1), Sel: SelID{3}, Gen: 1,
		Unit: Week, N: 2, IAT: 1_800_000_000, NBF: 1_800_000_100, Exp: 1_802_000_000, Grace: 3600, KC: *testDigest(2),
		Req: testDigest(3), Price: &Price{2500, "EUR"}, Payref: &ref,
	}
	g.Win = g.WindowFor(7 * Week)
	return g
}

func testEntries(n int) []Entry {
	out := make([]Entry, n)
	for i := range out {
		out[i] = Entry{Track: testLink(codecDagPB, i), Size: uint64(1000 + i), Sec: uint64(i), Info: testLink(codecRaw, -i-1)}
	}
	return out
}

func testShard() *BoxShard {
	s := &BoxShard{Salt: [16]byte{9}}
	for i := range Boxes {
		s.E = append(s.E, BoxEntry{ID: [16]byte{byte(i)}, Blob: Blob{CT: make([]byte, 2048+16)}})
	}
	return s
}

// kinds are all records with an example and an empty value to decode into.
func kinds() map[string][2]record {
	r2 := testRoot(testKey(1))
	r2.N, r2.DJ, r2.Prev = 2, &DJ{1}, testDigest(1)
	ref := "invoice 7"
	card, yes := testLink(codecDagCBOR, 8), true
	in, out := int64(66150), int64(8_379_000)
	sh := shard(testEntries(1))
	recorded := &Info{Title: "Live", Codec: "opus", Rate: 48000, Channels: 2, Samples: 99, Recorded: testRecorded()}
	e := Envelope{Type: TypeDevice, Payload: testLink(codecDagCBOR, 1), Sigs: []Sig{{K: pub(testKey(1))}}}
	return map[string][2]record{
		"root1": {testRoot(testKey(1), testKey(2)), new(Root)},
		"root2": {r2, new(Root)},
		"head": {&Head{DJ: DJ{1}, RootN: 1, Seq: 2, IAT: 5, Exp: 6, Roots: []cid.Cid{testLink(codecDagCBOR, 1)},
			Sels: []Listed{{SelID{1}, "main", testLink(codecDagCBOR, 2)}, {SelID{2}, "Café", testLink(codecDagCBOR, 3)}}, Card: &card}, new(Head)},
		"manifest": {testManifest(), new(Manifest)},
		"grant":    {testGrant(), new(Grant)},
		"device":   {&Device{K: pub(testKey(1))}, new(Device)},
		"envelope": {&e, new(Envelope)},
		"spine":    {&spine{N: 300, D: 1, Rows: []cid.Cid{testLink(codecDagCBOR, 1)}}, new(spine)},
		"row":      {&row{{testLink(codecDagCBOR, 1), 5, 6}}, new(row)},
		"shard":    {&sh, new(shard)},
		"meta":     {&Meta{Kind: KindOrder, List: "main", Rows: [][]byte{make([]byte, 8), make([]byte, 32)}}, new(Meta)},
		"mix":      {&Meta{Kind: KindMix, List: "main", Fade: 4000, Gain: "album"}, new(Meta)},
		"cue": {&Meta{Kind: KindCue, List: "main", Cues: []cueRow{{make([]byte, 8), Cue{In: &in, Out: &out}},
			{bytes.Repeat([]byte{1}, 32), Cue{Out: &out}}, {bytes.Repeat([]byte{2}, 8), Cue{In: &in}}}}, new(Meta)},
		"info": {&Info{Title: "Trió", Artist: "A", Album: "B", Disc: 1, Number: 2, Cover: &Cover{"image/png", []byte{1}}, Codec: "mp3",
			Rate: 44100, Channels: 2, Samples: 99, SamplesPerFrame: 1152, Delay: 576, Padding: 1000, Index: []byte{1},
			Loudness: &Loudness{-14_200, 5_100, 300}, Waveform: []byte{1, 2, 3}, Rights: "CC", ISRC: "X", Explicit: &yes,
			Analyser: "playnode", AnalyserVersion: 1, Tags: []Tag{{"genre", "dub"}}}, new(Info)},
		"delivery": {&Delivery{Grant: Signed{NewBlock([]byte{1}), NewBlock([]byte{2})}, Keys: make([]PeriodKey, 3),
			Roots: []Signed{{NewBlock([]byte{1}), NewBlock([]byte{2})}}, Name: NewName(pub(testKey(1))), Hints: []string{"/ip4/127.0.0.1/tcp/1"}}, new(Delivery)},
		"grantfile": {&GrantFile{DJ: DJ{1}, Blob: Blob{CT: make([]byte, 4096+16)}}, new(GrantFile)},
		"boxes":     {testShard(), new(BoxShard)},
		"offer":     {testOffer(), new(Offer)},
		"request": {&Request{DJ: DJ{1}, Offer: [32]byte{2}, Venue: pub(testKey(3)), Start: 5, Len: 6, IAT: 4, Payref: &ref,
			Devices: []Signed{{NewBlock([]byte{1}), NewBlock([]byte{2})}}}, new(Request)},
		"requestfile": {&RequestFile{DJ: DJ{1}, Blob: Blob{CT: make([]byte, 4096+16)}}, new(RequestFile)},
		"card":        {testCard(), new(Card)},
		"live":        {testLive(), new(Live)},
		"livehead":    {&LiveHead{DJ: DJ{1}, Live: LiveID{2}, Gen: 1, Cur: 2, Seq: 3, Seg: testLink(codecRaw, 4), Final: true, IAT: 5}, new(LiveHead)},
		"segment": {&Segment{Init: &MediaInit{"opus", 48000, []byte("OggS")}, At: 48_000, Len: 24_000, UTC: 1_800_000_000_000, Open: true,
			Text: "Trió – Ísta", Media: []byte{1, 2, 3}}, new(Segment)},
		"recorded": {recorded, new(Info)},
		"excerpt": {&Excerpt{Live: LiveID{1}, First: 7, Final: true, Init: MediaInit{"mp3", 44100, []byte{1}}, Text: "Augnablik",
			Parts: []Part{{[32]byte{2}, [32]byte{3}, 44_100, 4, 5}, {[32]byte{6}, [32]byte{7}, 0, 4, 6}}}, new(Excerpt)},
		"opencard": {&Card{Name: "Ísta", Open: []CardOpen{{LiveID{1}, testLink(codecRaw, 4)}}}, new(Card)},
	}
}

func testLive() *Live {
	return &Live{DJ: DJ{1}, RootN: 1, Sel: SelID{3}, Live: LiveID{2}, Seq: 2, Prev: testDigest(1), IAT: 1_800_000_000,
		Unit: Week, Cur: Period(1_800_000_000, Week), Gen: 1, From: 7, Lock: make([]Lock, 8)}
}

func testRecorded() *Recorded {
	r := &Recorded{Live: LiveID{2}, First: 3, Closed: true, Spans: []Span{{From: 0, Gen: 1, Cur: 2976}, {From: 7, Gen: 2, Cur: 2976, LK: [32]byte{1}}}}
	r.AppendSize(17_000, 16_000)
	r.AppendSize(3, 0)
	return r
}

func testOffer() *Offer {
	return &Offer{DJ: DJ{1}, RootN: 1, Sel: SelID{2}, N: 3, IAT: 4, Exp: 5, Price: Price{2500, "EUR"}, Per: 30 * Day,
		Min: Day, Max: 365 * Day, Devices: 4, Window: Week, Grace: Day, Terms: &[32]byte{9}}
}

func TestEveryRecordRoundTrips(t *testing.T) {
	for name, k := range kinds() {
		data, err := encode(k[0], MaxBlock)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := decode(data, MaxBlock, k[1]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again, err := encode(k[1], MaxBlock); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%s: encodes to other bytes (%v)", name, err)
		}
	}
}

// A changed byte gives another record or none: never the same one twice.
func TestNoByteOfARecordIsFree(t *testing.T) {
	for name, k := range kinds() {
		data, err := encode(k[0], MaxBlock)
		if err != nil {
			t.Fatal(err)
		}
		step := max(1, len(data)/300, len(data)*len(data)>>22) // fewer of what is long
		for i := 0; i < len(data); i += step {
			for _, x := range []byte{1, 0x20, 0x80} {
				bad := bytes.Clone(data)
				bad[i] ^= x
				if decode(bad, MaxBlock, k[1]) != nil {
					continue
				}
				if again, err := encode(k[1], MaxBlock); err != nil || !bytes.Equal(again, bad) {
					t.Fatalf("%s: byte %d ^ %#x decodes, and encodes to something else", name, i, x)
				}
			}
		}
		for _, n := range []int{0, 1, len(data) / 2, len(data) - 1} {
			if decode(data[:n], MaxBlock, k[1]) == nil {
				t.Errorf("%s: decodes from %d of %d bytes", name, n, len(data))
			}
		}
		if decode(append(bytes.Clone(data), 0), MaxBlock, k[1]) == nil && name != "meta" {
			t.Errorf("%s: decodes with a byte after it", name)
		}
	}
}

// mangle rewrites the device record, whose first bytes are a3 61 'k' 58 20.
func TestRefusesOtherEncodings(t *testing.T) {
	d := &Device{K: pub(testKey(1))}
	good, err := d.Encode()
	if err != nil {
		t.Fatal(err)
	}
	k, pk := d.K[:], d.PK[:]
	head := func(m byte, n uint64) []byte { return appendHead(nil, m, n) }
	cat := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	fk := cat([]byte{0x61, 'k', 0x58, 32}, k)
	fpk := cat([]byte{0x62, 'p', 'k'}, head(majBytes, 1216), pk)
	fkem := cat([]byte{0x63, 'k', 'e', 'm'}, head(majUint, XWing))
	if !bytes.Equal(good, cat([]byte{0xa3}, fk, fpk, fkem)) {
		t.Fatal("the device record is not what this test takes apart")
	}
	for name, bad := range map[string][]byte{
		"swapped map entries":    cat([]byte{0xa3}, fpk, fk, fkem),
		"extra field":            cat([]byte{0xa4}, fk, fpk, fkem, []byte{0x64, 'm', 'o', 'r', 'e', 1}),
		"missing field":          cat([]byte{0xa2}, fk, fpk),
		"field twice":            cat([]byte{0xa4}, fk, fk, fpk, fkem),
		"indefinite map":         cat([]byte{0xbf}, fk, fpk, fkem, []byte{0xff}),
		"long integer":           cat([]byte{0xa3}, fk, fpk, []byte{0x63, 'k', 'e', 'm', 0x1a, 0, 0, 0x64, 0x7a}),
		"float16":                cat([]byte{0xa3}, fk, fpk, []byte{0x63, 'k', 'e', 'm', 0xf9, 0x3c, 0}),
		"float64":                cat([]byte{0xa3}, fk, fpk, []byte{0x63, 'k', 'e', 'm', 0xfb, 0x40, 0xd9, 0x1e, 0x80, 0, 0, 0, 0}),
		"undefined":              cat([]byte{0xa3}, fk, fpk, []byte{0x63, 'k', 'e', 'm', 0xf7}),
		"null":                   cat([]byte{0xa3}, fk, fpk, []byte{0x63, 'k', 'e', 'm', 0xf6}),
		"negative":               cat([]byte{0xa3}, fk, fpk, []byte{0x63, 'k', 'e', 'm', 0x20}),
		"tag 1":                  cat([]byte{0xa3}, fk, fpk, []byte{0x63, 'k', 'e', 'm', 0xc1}, head(majUint, XWing)),
		"another KEM":            cat([]byte{0xa3}, fk, fpk, []byte{0x63, 'k', 'e', 'm', 0x19, 0x64, 0x7b}),
		"chunked bytes":          cat([]byte{0xa3, 0x61, 'k', 0x5f, 0x58, 32}, k, []byte{0xff}, fpk, fkem),
		"huge length, no bytes":  cat([]byte{0xa3, 0x61, 'k', 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
		"an array, not a map":    cat([]byte{0x83}, k, pk),
		"key as bytes, not text": cat([]byte{0xa3, 0x41, 'k', 0x58, 32}, k, fpk, fkem),
	} {
		if decode(bad, MaxPayload, new(Device)) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestRefusesTextThatIsNotNFC(t *testing.T) {
	h := &Head{DJ: DJ{1}, RootN: 1, Seq: 1, Roots: []cid.Cid{testLink(codecDagCBOR, 1)},
		Sels: []Listed{{SelID{1}, "Café", testLink(codecDagCBOR, 2)}}}
	data, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	nfd := bytes.Replace(data, []byte("\x65Café"), []byte("\x66Cafe\u0301"), 1)
	bad := bytes.Replace(data, []byte("\x65Café"), []byte("\x65Caf\xff\xfe"), 1)
	bidi := bytes.Replace(data, []byte("\x65Café"), []byte("\x65Ca\u202e"), 1)
	for name, b := range map[string][]byte{"NFD": nfd, "invalid UTF-8": bad, "bidi": bidi} {
		if bytes.Equal(b, data) {
			t.Fatal("nothing replaced")
		}
		if _, err := DecodeHead(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestIntegersEndAt53Bits(t *testing.T) {
	for seq, ok := range map[uint64]bool{1: true, MaxInt: true, MaxInt + 1: false, 0: false} {
		m := testManifest()
		m.Seq = seq
		if _, err := m.Encode(); (err == nil) != ok {
			t.Errorf("seq %d: %v", seq, err)
		}
	}
}

func TestManifestRules(t *testing.T) {
	for name, change := range map[string]func(*Manifest){
		"cur is not iat's period": func(m *Manifest) { m.Cur++ },
		"one lock too few":        func(m *Manifest) { m.Lock = m.Lock[1:] },
		"one lock too many":       func(m *Manifest) { m.Lock = append(m.Lock, Lock{}) },
		"another unit":            func(m *Manifest) { m.Unit = 3600 },
		"no mailboxes":            func(m *Manifest) { m.Boxes = nil },
		"raw spine":               func(m *Manifest) { m.Tracks = testLink(codecRaw, 1) },
	} {
		m := testManifest()
		change(m)
		if _, err := m.Encode(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestGrantWindow(t *testing.T) {
	for _, c := range []struct {
		iat, nbf, exp, grace, w int64
		want                    *Window
	}{
		{0, 0, 1, 0, 0, &Window{0, 0}},
		{0, 0, Week, 0, 7 * Week, &Window{0, 0}},     // exp is exclusive
		{0, 0, Week + 1, 0, 7 * Week, &Window{0, 1}}, // one second more
		{0, 0, Week, 1, 7 * Week, &Window{0, 1}},     // of grace
		{Week, 0, 100 * Week, 0, 7 * Week, &Window{1, 8}},
		{0, 3 * Week, 9 * Week, 0, 2 * Week, nil},                      // begins after the window
		{0, 2 * Week, 9 * Week, 0, 2 * Week, &Window{2, 2}},            // at its last period
		{0, 0, 9 * Week, 0, Week + 1, &Window{0, 2}},                   // a part of a period counts whole
		{10 * Week, 0, 9 * Week, 0, Week, nil},                         // over before it was signed
		{52*Week + 5, 52 * Week, 104 * Week, 0, Week, &Window{52, 53}}, // window-only keys of a year
	} {
		g := testGrant()
		g.IAT, g.NBF, g.Exp, g.Grace = c.iat, c.nbf, c.exp, c.grace
		got := g.WindowFor(c.w)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%+v: window %v", c, got)
			continue
		}
		g.Win = got
		if _, err := g.Encode(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for name, win := range map[string]Window{"early": {2974, 2979}, "beyond exp": {2976, 2990}, "none": {2977, 2976}} {
		g := testGrant()
		g.Win = &win
		if _, err := g.Encode(); err == nil {
			t.Errorf("window %s: accepted (true one is %v)", name, g.WindowFor(7*Week))
		}
	}
}

func TestBoxShardHoldsExactly64(t *testing.T) {
	for name, change := range map[string]func(*BoxShard){
		"0":           func(s *BoxShard) { s.E = nil },
		"63":          func(s *BoxShard) { s.E = s.E[1:] },
		"65":          func(s *BoxShard) { s.E = append(s.E, BoxEntry{ID: [16]byte{0xff}, Blob: s.E[0].Blob}) },
		"unsorted":    func(s *BoxShard) { s.E[0], s.E[1] = s.E[1], s.E[0] },
		"twice":       func(s *BoxShard) { s.E[1].ID = s.E[0].ID },
		"two classes": func(s *BoxShard) { s.E[5].Blob.CT = make([]byte, 4096+16) },
		"no class":    func(s *BoxShard) { s.E[0].Blob.CT = make([]byte, 100) },
	} {
		s := testShard()
		change(s)
		data, err := encode(s, MaxBlock)
		if err == nil {
			t.Errorf("%s: encoded", name)
		}
		if len(data) > 0 && decode(data, MaxBlock, new(BoxShard)) == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

// Whoever opens a catalogue reads ten thousand infos, and each object in them is
// to be erased.
func TestAnInfoIsReadWithFewObjects(t *testing.T) {
	data, err := (&Info{Title: "T", Artist: "A", Album: "B", Codec: "mp3", Rate: 1, Channels: 1, Waveform: []byte{1}, Analyser: "a"}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { DecodeInfo(data) }); n > 30 {
		t.Errorf("reading an info makes %.0f objects", n)
	}
}
