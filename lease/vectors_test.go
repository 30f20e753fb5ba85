package lease

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/cryptotest"

	"github.com/ipfs/go-cid"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/codec/dagjson"
	"github.com/ipld/go-ipld-prime/node/basicnode"

	"playnode/internal/seal"
	"playnode/manifests"
)

var update = flag.Bool("update", false, "write testdata/vectors anew")

const vectorDir = "../testdata/vectors"

// vectors is all files by name, as they are made from one seed.
type vectors struct {
	t     *testing.T
	files map[string][]byte
	index []any
}

func (v *vectors) json(name string, x any) {
	b, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		v.t.Fatal(err)
	}
	v.files[name] = append(b, '\n')
}

// record adds a dag-cbor block with what it decodes to, by a reader that is
// not ours.
func (v *vectors) record(name string, b manifests.Block) {
	nb := basicnode.Prototype.Any.NewBuilder()
	if err := (dagcbor.DecodeOptions{AllowLinks: true}).Decode(nb, bytes.NewReader(b.Data)); err != nil {
		v.t.Fatalf("%s: %v", name, err)
	}
	var value bytes.Buffer
	if err := dagjson.Encode(nb.Build(), &value); err != nil {
		v.t.Fatal(err)
	}
	v.files[name+".cbor"] = b.Data
	entry := map[string]any{"name": name, "file": name + ".cbor", "cid": b.CID.String(), "value": json.RawMessage(value.Bytes())}
	if name == "boxes" || name == "mailboxes" {
		delete(entry, "value") // 64 blobs, once in the file is enough
	}
	v.index = append(v.index, entry)
}

// signed adds an envelope and its payload.
func (v *vectors) signed(name string, s manifests.Signed) map[string]any {
	v.record(name+".env", s.Env)
	v.record(name, s.Payload)
	e, err := manifests.OpenEnvelope(s.Env.Data)
	if err != nil {
		v.t.Fatal(err)
	}
	p := e.Payload.Bytes()
	msg := append([]byte("playnode/v1\x00"), byte(len(e.Type)))
	msg = append(append(append(msg, e.Type...), byte(len(p))), p...)
	out := map[string]any{"name": name, "env": name + ".env.cbor", "payload": name + ".cbor", "type": e.Type, "message": hex.EncodeToString(msg)}
	var keys []string
	for _, g := range e.Sigs {
		keys = append(keys, hex.EncodeToString(g.K[:]))
	}
	out["keys"] = keys
	return out
}

func hx(b []byte) string { return hex.EncodeToString(b) }

// derived is one use of KDF.
func derived(s []byte, l seal.Label, k []byte, x ...[]byte) map[string]any {
	parts := []string{}
	for _, p := range x {
		parts = append(parts, hx(p))
	}
	return map[string]any{"secret": hx(s), "label": l, "parts": parts, "ctx": hx(seal.CTX(l, x...)), "key": hx(k)}
}

func makeVectors(t *testing.T) map[string][]byte {
	cryptotest.SetGlobalRandom(t, 2014)
	v := &vectors{t: t, files: map[string][]byte{}}
	d := newDJ(t, 0)
	dj := d.chain.DJ()
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}

	// A track: two age chunks.
	archive, err := seal.NewArchive()
	if err != nil {
		t.Fatal(err)
	}
	plain := bytes.Repeat([]byte("playnode test vector: not music\n"), 66000/32)
	seals := map[string]seal.ArchiveRecipient{"track": archive.Recipient(), "track-none": {}}
	var tracks []map[string]any
	for _, name := range []string{"track", "track-none"} {
		var out bytes.Buffer
		w, key, err := seal.NewTrack(&out, seals[name])
		if err == nil {
			_, err = w.Write(plain)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		b := manifests.NewRawBlock(out.Bytes()) // one leaf: the file's CID is the leaf's
		tr := Track{CID: b.CID, Key: key, Size: uint64(out.Len()), Sec: 1}
		info := &manifests.Info{Title: "Vector " + name, Artist: "Nobody", Codec: "wav", Rate: 44100, Channels: 2, Samples: 16500,
			Loudness: &manifests.Loudness{Integrated: -14200, Range: 5100, Peak: -300}, Analyser: "playnode", AnalyserVersion: 1,
			Cover: &manifests.Cover{MIME: "image/png", Data: []byte("not a picture")}}
		block, err := SealInfo(key, b.CID, info)
		if err != nil {
			t.Fatal(err)
		}
		ip, err := info.Encode()
		if err != nil {
			t.Fatal(err)
		}
		ik, aad := infoFor(key, b.CID.Bytes())
		tr.Info = block.CID
		d.order = append(d.order, tr)
		v.files[name+".age"], v.files[name+".info"] = b.Data, block.Data
		v.record(name+".info", manifests.NewBlock(ip))
		tracks = append(tracks, map[string]any{
			"name": name, "age": name + ".age", "cid": b.CID.String(), "size": len(b.Data), "plain": "track.plain", "fileKey": hx(key[:]),
			"infoKey": derived(key[:], seal.Info, ik[:], b.CID.Bytes()), "info": name + ".info", "infoCID": block.CID.String(),
			"infoAAD": hx(aad), "infoPlain": name + ".info.cbor",
		})
	}
	v.files["track.plain"] = plain
	v.files["archive.key"] = []byte(archive.Reveal() + "\n")

	// Records.
	r, next, err := d.sel.Revise(d.draft())
	if err != nil {
		t.Fatal(err)
	}
	m, signedManifest := d.sign(&r.Manifest)
	clip := manifests.NewRawBlock([]byte("fLaC playnode test vector: not music\n"))
	v.files["clip.flac"] = clip.Data
	says := manifests.CardSel{Sel: d.sel.Sel, Words: "Until noon"}
	for i, tr := range d.order {
		line := manifests.CardTrack{Track: manifests.Digest(tr.CID), Title: &manifests.CardTitle{Title: "Vector", Artist: "Nobody"}}
		if i == 0 {
			line.Clip = &manifests.Clip{File: clip.CID, Size: uint64(len(clip.Data)), Codec: "flac"}
		}
		says.Tracks = append(says.Tracks, line)
	}
	slices.SortFunc(says.Tracks, func(a, b manifests.CardTrack) int { return bytes.Compare(a.Track[:], b.Track[:]) })
	cp, err := (&manifests.Card{Name: "Anna Café", About: "Slow house for slow mornings.", Picture: []byte("\xff\xd8\xffnot a picture"),
		Sels: []manifests.CardSel{says}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	card := manifests.NewBlock(cp)
	v.record("card", card)
	head := manifests.Head{DJ: dj, RootN: 1, Seq: 1, IAT: d.now, Exp: m.Exp, Roots: []cid.Cid{d.roots[0].Env.CID}, Card: &card.CID,
		Sels: []manifests.Listed{{Sel: d.sel.Sel, Label: "main", Manifest: signedManifest.Env.CID}}}
	hp, err := head.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signedHead, err := manifests.Sign(manifests.TypeHead, hp, d.pub.Private())
	if err != nil {
		t.Fatal(err)
	}
	device, err := id.Record()
	if err != nil {
		t.Fatal(err)
	}
	price, ref := &manifests.Price{Amount: 2500, Currency: "EUR"}, "invoice 7"
	g := d.grant(id, Terms{From: d.now, Until: d.now + 30*manifests.Day, Grace: 3600, Price: price, Payref: &ref})
	g.Hints = []string{"/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"}
	file := d.file(g, id)

	sigs := []map[string]any{v.signed("root", d.roots[0])}
	dj2 := *d // the next root, for a chain of two; nothing else is under it
	dj2.roots = slices.Clone(d.roots)
	prev := manifests.Digest(d.roots[0].Payload.CID)
	dj2.addRoot(&manifests.Root{N: 2, DJ: &dj, Prev: &prev, IAT: d.now, Gens: []manifests.LeastGen{{Sel: d.sel.Sel, Gen: 2}}})
	sigs = append(sigs, v.signed("root2", dj2.roots[1]), v.signed("head", signedHead), v.signed("manifest", signedManifest),
		v.signed("grant", g.Grant), v.signed("device", device))
	names := []string{"spine", "shard", "row"}
	for _, b := range r.Blocks {
		switch {
		case b.CID == m.Boxes[0]:
			v.record("boxes", b)
		case b.CID.Prefix().Codec == cid.Raw:
			v.files["meta.sealed"] = b.Data
		default:
			v.record(names[0], b)
			names = names[1:]
		}
	}
	v.record("grantfile", manifests.NewBlock(file))
	gp, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	v.record("delivery", manifests.NewBlock(gp))

	// Keys, in the order in which a venue derives them.
	p := m.Cur
	kp := periodKey(d.sel.R, dj, m.Sel, m.Gen, m.Unit, p)
	lk, lockAAD := lockFor(kp, m, p)
	mk := next.MK
	mkey, metaAAD := metaFor(mk, dj, m.Sel)
	ridKey := mk.Derive(seal.RID, m.DJ[:], m.Sel[:], seal.U64(m.Gen), seal.U64(m.Cur), seal.U64(m.Seq))
	gidKey := d.sel.R.Derive(seal.GID, dj[:], m.Sel[:], seal.U64(m.Gen))
	var wraps []map[string]any
	for _, e := range d.entries2(r.Blocks, m) {
		k, aad := trackFor(mk, dj, m.Sel, e.Track.Bytes())
		i := slices.IndexFunc(d.order, func(tr Track) bool { return tr.CID == e.Track })
		wraps = append(wraps, map[string]any{"cid": e.Track.String(),
			"key":  derived(mk[:], seal.Track, k[:], dj[:], m.Sel[:], e.Track.Bytes()),
			"wrap": hx(e.Wrap[:]), "aad": hx(aad), "fileKey": hx(d.order[i].Key[:])})
	}
	mp, err := manifests.CutOrder("main", d.draft().Lists[0].Tracks)[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	v.record("meta", manifests.NewBlock(mp))
	in, end := int64(1500), int64(15_000)
	mixed, err := manifests.Playlist{Label: "main", Tracks: d.draft().Lists[0].Tracks, Mixing: manifests.Mixing{
		Fade: 4000, Album: true, Cues: map[cid.Cid]manifests.Cue{d.order[0].CID: {In: &in, Out: &end}, d.order[1].CID: {Out: &end}},
	}}.Blocks()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mixed[:2] {
		p, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		v.record(m.Kind, manifests.NewBlock(p))
	}
	v.json("keys.json", map[string]any{
		"dj": hx(dj[:]), "sel": hx(m.Sel[:]), "gen": m.Gen, "unit": m.Unit, "cur": m.Cur, "seq": m.Seq, "R": hx(d.sel.R[:]),
		"gid":       derived(d.sel.R[:], seal.GID, gidKey[:], dj[:], m.Sel[:], seal.U64(m.Gen)),
		"periodKey": derived(d.sel.R[:], seal.Period, kp[:], dj[:], m.Sel[:], seal.U64(m.Gen), seal.U64(uint64(m.Unit)), seal.U64(p)),
		"lockKey":   derived(kp[:], seal.Lock, lk[:], m.RID[:]),
		"lock":      hx(m.Lock[0][:]), "lockAAD": hx(lockAAD), "mk": hx(mk[:]),
		"rid":     derived(mk[:], seal.RID, ridKey[:], dj[:], m.Sel[:], seal.U64(m.Gen), seal.U64(m.Cur), seal.U64(m.Seq)),
		"metaKey": derived(mk[:], seal.Meta, mkey[:], dj[:], m.Sel[:]),
		"metaAAD": hx(metaAAD), "meta": "meta.sealed", "metaPlain": "meta.cbor", "wraps": wraps,
	})
	v.json("tracks.json", tracks)
	gf, err := manifests.DecodeGrantFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dev := id.Sign.Public()
	kc := [][]byte{g.Mbox[:]}
	for i := range g.Keys {
		kc = append(kc, g.Keys[i][:])
	}
	pkx := id.Open.Public()
	commitment := commit(g.Mbox, g.Keys)
	v.json("grant.json", map[string]any{
		"file": "grantfile.cbor", "xwingSeed": hx(xwingSeed(t, id.Open)), "xwingPublic": hx(pkx[:]),
		"deviceText": manifests.DeviceText(device), "deviceSecret": id.Sign.Reveal(), "openSecret": id.Open.Reveal(),
		"kem": manifests.XWing, "kdf": "HKDF-SHA256", "aead": "ChaCha20-Poly1305",
		"info": hx(grantInfo(dj, dev)), "enc": hx(gf.Blob.Enc[:]), "ct": hx(gf.Blob.CT), "aad": "",
		"plain": "delivery.cbor", "paddedTo": 4096,
		"kcHashed": hx(seal.CTX(seal.Keys, kc...)), "kc": hx(commitment[:]),
	})
	link := manifests.Link{DJ: &dj, Label: "Friday night", Name: d.name, Addrs: g.Hints}
	deviceText := manifests.DeviceText(device)
	deviceLink := manifests.BlobLink{Kind: manifests.BlobDevice, CID: manifests.NewRawBlock([]byte(deviceText)).CID, Addrs: g.Hints}
	leaseLink := manifests.BlobLink{Kind: manifests.BlobLease, CID: manifests.NewRawBlock(file).CID, Addrs: g.Hints}
	mirrored := link
	mirrored.Addrs, mirrored.Origins = nil, []string{"https://music.example/anna", "http://192.168.1.20:8080"}
	v.json("links.json", map[string]any{"dj": dj.String(), "name": d.name, "label": link.Label, "addrs": link.Addrs, "link": link.String(),
		"origins": mirrored.Origins, "mirroredLink": mirrored.String(), "mirroredWeb": mirrored.Web("dweb.link"),
		"device": deviceText, "deviceLink": deviceLink.String(), "lease": "grantfile.cbor", "leaseLink": leaseLink.String()})

	// Last, since it draws more: the grant in a mailbox, among 63 dummies.
	tenant := Tenant{Terms: Terms{Device: manifests.Device{K: dev, PK: pkx}, Mbox: g.Mbox}, Grant: g.Grant, Name: g.Name, Hints: g.Hints}
	box, err := d.sel.shard(m, []Tenant{tenant})
	if err != nil {
		t.Fatal(err)
	}
	v.record("mailboxes", box)
	shard, err := manifests.DecodeBoxShard(box.Data)
	if err != nil {
		t.Fatal(err)
	}
	boxKey := seal.Key(g.Mbox).Derive(seal.Mbox, dj[:], m.Sel[:], seal.U64(m.Gen), seal.U64(m.Cur), shard.Salt[:])
	at := slices.IndexFunc(shard.E, func(e manifests.BoxEntry) bool { return string(e.ID[:]) == string(boxKey[:16]) })
	mailed, err := d.sel.delivery(tenant)
	if err != nil {
		t.Fatal(err)
	}
	mailPlain, err := mailed.Encode()
	if err != nil {
		t.Fatal(err)
	}
	v.record("mailed", manifests.NewBlock(mailPlain))
	v.json("mailbox.json", map[string]any{
		"boxes": "mailboxes.cbor", "salt": hx(shard.Salt[:]), "entry": at, "paddedTo": 2048, "plain": "mailed.cbor",
		"id":   derived(g.Mbox[:], seal.Mbox, boxKey[:], dj[:], m.Sel[:], seal.U64(m.Gen), seal.U64(m.Cur), shard.Salt[:]),
		"info": hx(grantInfo(dj, dev)), "enc": hx(shard.E[at].Blob.Enc[:]), "ct": hx(shard.E[at].Blob.CT),
	})

	// An offer, and a request for it, sealed to a request key.
	req, err := seal.NewXWing()
	if err != nil {
		t.Fatal(err)
	}
	offer := d.offer(func(o *manifests.Offer) { o.Window, o.Grace, o.Terms = manifests.Week, manifests.Day, &[32]byte{1} })
	rq := manifests.Request{DJ: dj, Offer: manifests.Digest(offer.Payload.CID), Venue: dev, Devices: []manifests.Signed{device},
		Start: d.now, Len: 30 * manifests.Day, IAT: d.now, NonceID: [16]byte{7}, ReplyPK: pkx, Payref: &ref}
	rp, err := rq.Encode()
	if err != nil {
		t.Fatal(err)
	}
	asked, err := manifests.Sign(manifests.TypeRequest, rp, id.Sign.Private())
	if err != nil {
		t.Fatal(err)
	}
	sigs = append(sigs, v.signed("offer", offer), v.signed("request", asked))
	pair, err := manifests.EncodeSigned(asked)
	if err != nil {
		t.Fatal(err)
	}
	v.record("requested", manifests.NewBlock(pair))
	rf := manifests.RequestFile{DJ: dj}
	if rf.Blob.Enc, rf.Blob.CT, err = seal.SealTo(req.Public(), requestInfo(dj, req.Public()), seal.Pad(pair, filePad)); err != nil {
		t.Fatal(err)
	}
	rfile, err := rf.Encode()
	if err != nil {
		t.Fatal(err)
	}
	v.record("requestfile", manifests.NewBlock(rfile))
	reqPublic := req.Public()
	v.json("request.json", map[string]any{
		"file": "requestfile.cbor", "xwingSeed": hx(xwingSeed(t, req)), "xwingPublic": hx(reqPublic[:]), "requestSecret": req.Reveal(),
		"info": hx(requestInfo(dj, reqPublic)), "plain": "requested.cbor", "paddedTo": 4096,
	})

	// A live set: its first record, a segment with its head, and what the set
	// says of itself as a track.
	air := d.sel.GoLive(d.now, 1)
	lp, err := air.Record.Encode()
	if err != nil {
		t.Fatal(err)
	}
	live, err := manifests.Sign(manifests.TypeLive, lp, d.pub.Private())
	if err != nil {
		t.Fatal(err)
	}
	seg := &manifests.Segment{Init: &manifests.MediaInit{Codec: "mp3", Rate: 44100}, Len: 44100, UTC: d.now * 1000, Open: true,
		Text: "Nobody – Vector", Media: []byte("playnode test vector: not music\n")}
	sp, err := seg.Encode()
	if err != nil {
		t.Fatal(err)
	}
	v.record("segment", manifests.NewBlock(sp))
	segment, err := air.Seal(0, true, seg)
	if err != nil {
		t.Fatal(err)
	}
	v.files["segment.sealed"] = segment.Data
	lh := manifests.LiveHead{DJ: dj, Live: air.Record.Live, Gen: air.Record.Gen, Cur: air.Record.Cur, Seg: segment.CID, Final: true,
		Prev: manifests.Digest(live.Payload.CID), IAT: d.now}
	hp, err = lh.Encode()
	if err != nil {
		t.Fatal(err)
	}
	liveHead, err := manifests.Sign(manifests.TypeLiveHead, hp, d.pub.Private())
	if err != nil {
		t.Fatal(err)
	}
	sigs = append(sigs, v.signed("live", live), v.signed("livehead", liveHead))
	rec := manifests.Recorded{Live: air.Record.Live, Spans: air.Spans, Closed: true}
	rec.AppendSize(len(segment.Data), len(seg.Media))
	ri, err := (&manifests.Info{Title: "Vector set", Artist: "Nobody", Codec: "mp3", Rate: 44100, Channels: 2, Samples: 44100,
		SamplesPerFrame: 1152, Analyser: "playnode", AnalyserVersion: 1, Recorded: &rec}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	v.record("recorded.info", manifests.NewBlock(ri))
	l := &air.Record
	liveKey, liveAAD := liveLockFor(kp, l, p)
	lidKey := air.LK.Derive(seal.LID, dj[:], l.Sel[:], l.Live[:], seal.U64(l.Gen), seal.U64(l.Cur), seal.U64(l.From))
	segKey := air.SegmentKey(0)
	at0 := segmentAt{dj, l.Live, l.Gen, l.Cur, 0, true}
	v.json("live.json", map[string]any{
		"dj": hx(dj[:]), "sel": hx(l.Sel[:]), "live": hx(l.Live[:]), "gen": l.Gen, "unit": l.Unit, "cur": l.Cur, "from": l.From,
		"lk": hx(air.LK[:]), "lock": hx(l.Lock[0][:]), "lockAAD": hx(liveAAD),
		"lid":        derived(air.LK[:], seal.LID, lidKey[:], dj[:], l.Sel[:], l.Live[:], seal.U64(l.Gen), seal.U64(l.Cur), seal.U64(l.From)),
		"lockKey":    derived(kp[:], seal.LiveLock, liveKey[:], l.LID[:]),
		"segmentKey": derived(air.LK[:], seal.Segment, segKey[:], l.Live[:], seal.U64(0)),
		"segment":    "segment.sealed", "segmentCID": segment.CID.String(), "segmentAAD": hx(at0.aad()), "segmentPlain": "segment.cbor",
		"recorded": "recorded.info.cbor",
	})

	open := d.openVector(g.Hints)
	x := &manifests.Excerpt{Live: l.Live, Final: true, Init: *seg.Init, Text: "Vector moment",
		Parts: []manifests.Part{{Digest: manifests.Digest(segment.CID), Key: segKey, Len: seg.Len, Gen: l.Gen, Cur: l.Cur}}}
	xp, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	v.record("excerpt", manifests.NewBlock(xp))
	xk := NewExcerptKey(dj)
	xb, err := xk.Seal(x)
	if err != nil {
		t.Fatal(err)
	}
	v.files["excerpt.sealed"] = xb.Data
	xkey, xaad := xk.context()
	open["excerpt"] = map[string]any{
		"id": hx(xk.ID[:]), "key": derived(xk.key[:], seal.Excerpt, xkey[:], dj[:], xk.ID[:]), "aad": hx(xaad), "sealed": "excerpt.sealed", "plain": "excerpt.cbor",
	}
	v.json("open.json", open)
	v.json("signatures.json", sigs)
	v.json("index.json", v.index)
	return v.files
}

// openVector is a set that is open to who has its link.
func (d *testDJ) openVector(addrs []string) map[string]any {
	k := NewSetKey(d.chain.DJ())
	o := d.sel.GoOpen(k, d.now, 1).Record
	parts := [][]byte{o.DJ[:], o.Sel[:], o.Live[:], seal.U64(o.Gen), seal.U64(o.Cur), seal.U64(o.From)}
	lk := k.live(&o)
	link := k.Link()
	link.Name, link.Addrs, link.Origins = d.name, addrs, []string{"https://archive.example"}
	return map[string]any{
		"dj": hx(o.DJ[:]), "sel": hx(o.Sel[:]), "live": hx(o.Live[:]), "gen": o.Gen, "cur": o.Cur, "from": o.From, "key": hx(k.key[:]),
		"lk": derived(k.key[:], seal.OpenSet, lk[:], parts...), "lid": derived(lk[:], seal.LID, o.LID[:], parts...),
		"link": link.String(), "web": link.Web("https://archive.example"),
	}
}

// entries2 reads the entries out of blocks that are not stored yet.
func (d *testDJ) entries2(blocks []manifests.Block, m *manifests.Manifest) []manifests.Entry {
	for _, b := range blocks {
		d.store[b.CID] = b.Data
	}
	return d.entries(m)
}

func xwingSeed(t *testing.T, x seal.XWing) []byte {
	text := x.Reveal()[len("pnxwing1"):]
	var out []byte
	var acc, bits uint
	for _, r := range text {
		acc = acc<<5 | uint(bytes.IndexByte([]byte("abcdefghijklmnopqrstuvwxyz234567"), byte(r)))
		if bits += 5; bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	if len(out) != 32 {
		t.Fatalf("seed of %d bytes", len(out))
	}
	return out
}

// The files in the repository are what this code makes, byte for byte.
func TestVectorsAreWhatTheCodeMakes(t *testing.T) {
	made := makeVectors(t)
	if *update {
		if err := os.RemoveAll(vectorDir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(vectorDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, data := range made {
			if err := os.WriteFile(filepath.Join(vectorDir, name), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	there, err := os.ReadDir(vectorDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(there) != len(made) {
		t.Errorf("%d files, %d made (-update writes them anew)", len(there), len(made))
	}
	for name, data := range made {
		have, err := os.ReadFile(filepath.Join(vectorDir, name))
		if err != nil || !bytes.Equal(have, data) {
			t.Errorf("%s is not what the code makes (-update writes it anew): %v", name, err)
		}
	}
}
