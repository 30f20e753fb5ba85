package daemon

import (
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/internal/seal"
	"playnode/manifests"
	"playnode/node"
)

// dj's card: a name, words, titles and previews of both tracks.
func (p *pair) card() Card {
	p.t.Helper()
	name, about, words, on := "Anna", "Slow house", "Until noon", true
	do(p.t, p.dj, OpCardSet, CardRequest{DJName: &name, About: &about, Playlist: "bar", Words: &words, Titles: &on})
	got := do(p.t, p.dj, OpCardPreview, CardPreviewRequest{Playlist: "bar", For: time.Second})
	if got.Made != 2 || len(got.Skipped) != 0 {
		p.t.Fatalf("%+v", got)
	}
	return do(p.t, p.dj, OpCardShow, CardShowRequest{})
}

// A stranger without a lease, who knows an archive alone, reads the card and
// hears the previews; the music stays shut, and the previews are no help in
// opening it.
func TestStrangerReadsTheCardAndNothingElse(t *testing.T) {
	p := newPair(t, time.Hour)
	said := p.card()
	archive, stranger := newBox(t, p.clock), newBox(t, p.clock)
	do(t, archive, OpArchive, ArchiveRequest{Names: []string{p.name}, Once: true,
		Node: NodeRequest{Peers: []string{p.dj.opened.node.Addrs()[0]}, Timeout: 20 * time.Second}})
	p.dj.stop()
	f := do(t, stranger, OpFollow, FollowRequest{Link: p.name, Once: true,
		Node: NodeRequest{Peers: []string{archive.opened.node.Addrs()[0]}, Timeout: 20 * time.Second}})
	archive.stop()
	if f.DJName != "Anna" || f.About != "Slow house" || len(f.Playlists) != 1 || f.Playlists[0].Words != "Until noon" ||
		f.Playlists[0].Previews != 2 || f.Playlists[0].Leased || f.Playlists[0].Offer != nil || f.Device == "" {
		t.Errorf("%+v", f)
	}
	got := do(t, stranger, OpCardShow, CardShowRequest{Name: p.name + "/bar"})
	if len(got.Playlists) != 1 || len(got.Playlists[0].Tracks) != 2 || got.DJ != said.DJ {
		t.Fatalf("%+v", got)
	}

	wav := filepath.Join(t.TempDir(), "out.wav")
	if _, err := Call(t.Context(), stranger, OpPreview, PreviewRequest{PlayRequest: PlayRequest{Name: p.name, Sink: "wav:" + wav}}, nil); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(wav)
	if err != nil || len(b) != 44+2*48_000*4 || loudest(b[44:]) < 4000 {
		t.Errorf("heard %d bytes, %v", len(b), err)
	}
	_, err = Call(t.Context(), stranger, OpPlay, PlayRequest{Name: p.name, Sink: "null", Once: true}, nil)
	wantKind(t, err, NoLease, "")

	// Previews are plain files, had from a gateway as from anywhere; of the
	// sealed files they share nothing, and no stretch of them is a key.
	web := httptest.NewServer(stranger.gateway(stranger.opened))
	defer web.Close()
	for i, tr := range got.Playlists[0].Tracks {
		if tr.Title == "" || tr.Preview == nil {
			t.Fatalf("%+v", tr)
		}
		res, err := http.Get(web.URL + "/ipfs/" + tr.Preview.CID + "?format=raw")
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || uint64(len(plain)) != tr.Preview.Size || string(plain[:4]) != "OggS" {
			t.Fatalf("preview %d: %d bytes, %v", i, len(plain), err)
		}
		sealed := stranger.file(tr.CID)
		runs := map[string]bool{}
		for i := 0; i+64 <= len(sealed); i++ {
			runs[string(sealed[i:i+64])] = true
		}
		for i := 0; i+64 <= len(plain); i++ {
			if runs[string(plain[i:i+64])] {
				t.Fatal("a preview shares a run of 64 bytes with its sealed file")
			}
		}
		for i := 0; i+16 <= len(plain); i += 7 {
			if _, _, err := seal.OpenTrack(seal.FileKey(plain[i:i+16]), readerAt(sealed), int64(len(sealed))); err == nil {
				t.Fatal("a stretch of a preview opens the file")
			}
		}
	}

	// Off the card they are not heard any more.
	p.dj.start(p.clock)
	do(t, p.dj, OpCardPreview, CardPreviewRequest{Playlist: "bar", Off: true})
	do(t, stranger, OpFollow, FollowRequest{Link: p.name, Once: true,
		Node: NodeRequest{Peers: []string{p.dj.opened.node.Addrs()[0]}, Timeout: 20 * time.Second}})
	_, err = Call(t.Context(), stranger, OpPreview, PreviewRequest{PlayRequest: PlayRequest{Name: p.name, Sink: "null"}}, nil)
	wantKind(t, err, NotFound, "")
	_, err = Call(t.Context(), stranger, OpCardShow, CardShowRequest{Name: "k51nonsense"}, nil)
	wantKind(t, err, Usage, "")
}

// file reads a file of one or two levels whole, from this box's blocks.
func (b *box) file(text string) (out []byte) {
	b.t.Helper()
	c, err := cid.Decode(text)
	if err != nil {
		b.t.Fatal(err)
	}
	data, err := b.opened.node.Read(b.t.Context(), c)
	if err != nil {
		b.t.Fatal(err)
	}
	links, err := node.Links(c, data)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(links) == 0 {
		return data
	}
	for _, l := range links {
		out = append(out, b.file(l.String())...)
	}
	return out
}

func loudest(pcm []byte) (most int) {
	for i := 0; i+2 <= len(pcm); i += 2 {
		most = max(most, int(int16(binary.LittleEndian.Uint16(pcm[i:]))))
	}
	return most
}

type readerAt []byte

func (r readerAt) ReadAt(b []byte, off int64) (int, error) {
	n := copy(b, r[min(off, int64(len(r))):])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// What a link leads to is there as long as its lease, at the DJ's alone.
func TestLinksLiveAsLongAsTheirLease(t *testing.T) {
	p := newPair(t, time.Hour)
	device := do(t, p.venue, OpIDLink, struct{}{}).Link
	grant := func(lasts time.Duration) (Granted, cid.Cid) {
		t.Helper()
		g := do(t, p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", Device: device, For: lasts, Link: true})
		l, err := manifests.ParseBlobLink(g.Link, manifests.BlobLease)
		if err != nil {
			t.Fatal(err)
		}
		return g, l.CID
	}
	has := func(b *box, c cid.Cid) bool {
		t.Helper()
		ok, err := b.opened.node.Has(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	end := func() {
		t.Helper()
		if err := p.dj.endLinks(t.Context(), p.dj.opened); err != nil {
			t.Fatal(err)
		}
	}
	short, first := grant(time.Hour)
	long, second := grant(24 * time.Hour)
	if got := do(t, p.venue, OpLeaseImport, ImportRequest{Link: short.Link}); got.Lease != short.Lease || got.State != "active" {
		t.Errorf("%+v", got)
	}
	if has(p.venue, first) {
		t.Error("the venue keeps the blob")
	}
	end()
	if !has(p.dj, first) || !has(p.dj, second) {
		t.Error("a live lease's blob is gone")
	}
	p.clock.forward(2 * time.Hour)
	end()
	if has(p.dj, first) || !has(p.dj, second) {
		t.Error("the blob of a lease that is over stays, or that of another went")
	}
	// The one that is over is not found any more; the other is.
	_, err := Call(t.Context(), p.venue, OpLeaseImport, ImportRequest{Link: short.Link, Node: NodeRequest{Timeout: time.Second}}, nil)
	wantKind(t, err, NotFound, "")
	do(t, p.dj, OpLeaseRevoke, RevokeRequest{Leases: []string{long.Lease}})
	end()
	if has(p.dj, second) {
		t.Error("a revoked lease's blob stays")
	}
	l, err := manifests.ParseBlobLink(device, manifests.BlobDevice)
	if err != nil || !has(p.venue, l.CID) {
		t.Errorf("the device's link leads nowhere: %v", err)
	}
	if again := do(t, p.venue, OpIDLink, struct{}{}).Link; again != device || !has(p.venue, l.CID) {
		t.Errorf("%s, then %s", device, again)
	}
}

// A link may lead anywhere: what is too large, or no grant, changes nothing.
func TestHostileLinks(t *testing.T) {
	p := newPair(t, time.Hour)
	for name, x := range map[string]struct {
		data []byte
		kind Kind
	}{
		"a byte too large": {make([]byte, manifests.MaxGrantFile+1), Verify},
		"a megabyte":       {make([]byte, 1<<20), Verify},
		"zeros":            {make([]byte, manifests.MaxGrantFile), Verify},
		"nothing":          {nil, Verify},
	} {
		b := manifests.NewRawBlock(x.data)
		p.put(b)
		link := manifests.BlobLink{Kind: manifests.BlobLease, CID: b.CID, Addrs: p.dj.opened.node.Addrs()[:1]}.String()
		before := len(p.venue.venue.Leases())
		_, err := Call(t.Context(), p.venue, OpLeaseImport, ImportRequest{Link: link, Node: NodeRequest{Timeout: 10 * time.Second}}, nil)
		if err == nil || KindOf(err) != x.kind {
			t.Errorf("%s: %v (%s)", name, err, KindOf(err))
		}
		if has, _ := p.venue.opened.node.Has(t.Context(), b.CID); has {
			t.Errorf("%s: it is kept", name)
		}
		if n := len(p.venue.venue.Leases()); n != before {
			t.Errorf("%s: %d leases, %d before", name, n, before)
		}
	}
	text := manifests.NewRawBlock([]byte("pndev1 not a device"))
	p.put(text)
	_, err := Call(t.Context(), p.dj, OpLeaseGrant, GrantRequest{Playlist: "bar", For: time.Hour,
		Device: manifests.BlobLink{Kind: manifests.BlobDevice, CID: text.CID}.String()}, nil)
	wantKind(t, err, Usage, "")
}
