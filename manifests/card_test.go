package manifests

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func testCard() *Card {
	clip := &Clip{testLink(codecDagPB, 1), 400_000, "opus"}
	return &Card{
		Name: "Anna Café", About: "Slow house for slow mornings.", Picture: []byte("\xff\xd8\xff\xe0 a JPEG"),
		Sels: []CardSel{
			{Sel: SelID{1}, Words: "Until noon", Tracks: []CardTrack{
				{Track: [32]byte{1}, Title: &CardTitle{"Morning", "Nobody"}, Clip: clip},
				{Track: [32]byte{2}, Clip: &Clip{testLink(codecRaw, 2), MaxBlock, "flac"}},
				{Track: [32]byte{3}, Title: &CardTitle{Title: "Noon"}},
			}},
			{Sel: SelID{2}},
		},
	}
}

func TestCardRules(t *testing.T) {
	tracks := func(n int, clip *Clip) (out []CardTrack) {
		for i := range n {
			out = append(out, CardTrack{Track: [32]byte{byte(i >> 8), byte(i)}, Clip: clip})
		}
		return out
	}
	small, large := &Clip{testLink(codecRaw, 1), 1, "opus"}, &Clip{testLink(codecDagPB, 1), MaxClip, "opus"}
	for name, x := range map[string]struct {
		edit func(*Card)
		ok   bool
	}{
		"as it is":             {func(*Card) {}, true},
		"nothing said":         {func(c *Card) { *c = Card{} }, true},
		"picture at its cap":   {func(c *Card) { c.Picture = append(c.Picture, make([]byte, MaxPicture-len(c.Picture))...) }, true},
		"picture over it":      {func(c *Card) { c.Picture = append(c.Picture, make([]byte, MaxPicture+1-len(c.Picture))...) }, false},
		"picture of no JPEG":   {func(c *Card) { c.Picture = []byte("<svg onload=...>") }, false},
		"two bytes of picture": {func(c *Card) { c.Picture = c.Picture[:2] }, false},
		"control character":    {func(c *Card) { c.About = "a\x1b[2Jb" }, false},
		"bidi override":        {func(c *Card) { c.Sels[0].Tracks[0].Title.Title = "a\u202eb" }, false},
		"bidi in the artist":   {func(c *Card) { c.Sels[0].Tracks[0].Title.Artist = "a\u2066b" }, false},
		"words not trimmed":    {func(c *Card) { c.Sels[0].Words = " a" }, false},
		"codec with a newline": {func(c *Card) { c.Sels[0].Tracks[0].Clip = &Clip{testLink(codecRaw, 1), 1, "o\npus"} }, false},
		"name at its cap":      {func(c *Card) { c.Name = strings.Repeat("a", MaxCardName) }, true},
		"name over it":         {func(c *Card) { c.Name = strings.Repeat("a", MaxCardName+1) }, false},
		"selections unsorted":  {func(c *Card) { slices.Reverse(c.Sels) }, false},
		"a selection twice":    {func(c *Card) { c.Sels[1].Sel = c.Sels[0].Sel }, false},
		"tracks unsorted":      {func(c *Card) { slices.Reverse(c.Sels[0].Tracks) }, false},
		"a track twice":        {func(c *Card) { c.Sels[0].Tracks[1].Track = c.Sels[0].Tracks[0].Track }, false},
		"a track without a word": {func(c *Card) {
			c.Sels[0].Tracks[2].Title = nil
		}, false},
		"an empty clip":        {func(c *Card) { c.Sels[0].Tracks[0].Clip.Size = 0 }, false},
		"a clip at its cap":    {func(c *Card) { c.Sels[0].Tracks[0].Clip.Size = MaxClip }, true},
		"a clip over it":       {func(c *Card) { c.Sels[0].Tracks[0].Clip.Size = MaxClip + 1 }, false},
		"a leaf over its cap":  {func(c *Card) { c.Sels[0].Tracks[1].Clip.Size++ }, false},
		"a clip of records":    {func(c *Card) { c.Sels[0].Tracks[0].Clip.File = testLink(codecDagCBOR, 1) }, false},
		"as many tracks as go": {func(c *Card) { c.Sels[0].Tracks, c.Sels[1].Tracks = tracks(MaxCardTracks-1, small), tracks(1, small) }, true},
		"one more":             {func(c *Card) { c.Sels[0].Tracks, c.Sels[1].Tracks = tracks(MaxCardTracks, small), tracks(1, small) }, false},
		"a GiB of clips":       {func(c *Card) { c.Sels[0].Tracks = tracks(MaxClips/MaxClip, large) }, true},
		"a byte more": {func(c *Card) {
			c.Sels[0].Tracks, c.Sels[1].Tracks = tracks(MaxClips/MaxClip, large), tracks(1, small)
		}, false},
	} {
		c := testCard()
		x.edit(c)
		data, err := c.Encode()
		if (err == nil) != x.ok {
			t.Errorf("%s: encode: %v", name, err)
		}
		// What cannot be written is not read either.
		var w coder
		c.code(&w)
		if _, err := DecodeCard(w.b); (err == nil) != x.ok {
			t.Errorf("%s: decode: %v", name, err)
		}
		if x.ok && !bytes.Equal(w.b, data) {
			t.Errorf("%s: other bytes", name)
		}
	}
}

func TestCardClipsAreListedOnce(t *testing.T) {
	c := testCard()
	c.Sels[1].Tracks = c.Sels[0].Tracks[:1] // one track in two selections
	if got := c.Clips(); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if s := c.Selection(SelID{1}); s.Words != "Until noon" {
		t.Errorf("%+v", s)
	}
	if s := c.Selection(SelID{9}); s.Words != "" || s.Sel != (SelID{9}) {
		t.Errorf("%+v", s)
	}
}

func TestBlobLinks(t *testing.T) {
	block := testLink(codecRaw, 1)
	addrs := []string{"/ip4/1.2.3.4/tcp/4001/p2p/12D3KooW", "/dns4/a.example/udp/1/quic-v1"}
	want := "playnode://lease/" + block.String() + "#" + addrs[0] + "," + addrs[1]
	l := BlobLink{BlobLease, block, append(addrs, "/unix/a,b", "not one", "/"+strings.Repeat("a", maxBlobAddr))}
	if l.String() != want {
		t.Errorf("%s", l)
	}
	got, err := ParseBlobLink(" "+want+"\n", BlobLease)
	if err != nil || got.CID != block || !slices.Equal(got.Addrs, addrs) {
		t.Errorf("%+v, %v", got, err)
	}
	bare := "playnode://device/" + block.String()
	if l, err := ParseBlobLink(bare, BlobDevice); err != nil || l.Addrs != nil || l.String() != bare {
		t.Errorf("%+v, %v", l, err)
	}
	if !IsBlobLink(want) || !IsBlobLink(bare) || IsBlobLink("playnode://bafy/bar?n=k51") || IsBlobLink("bar.lease") {
		t.Error("links are not told from others")
	}
	for name, s := range map[string]string{
		"another kind":          bare,
		"a share link":          "playnode://bafyreib/bar?n=k51",
		"no CID":                "playnode://lease/",
		"a record's CID":        "playnode://lease/" + testLink(codecDagCBOR, 1).String(),
		"a CID in capitals":     "playnode://lease/" + strings.ToUpper(block.String()),
		"more of a path":        "playnode://lease/" + block.String() + "/x",
		"a query":               "playnode://lease/" + block.String() + "?a=b",
		"no address":            "playnode://lease/" + block.String() + "#",
		"an escape":             "playnode://lease/" + block.String() + "#/ip4/\x1b[2J",
		"too many addresses":    "playnode://lease/" + block.String() + "#" + strings.Repeat("/a,", maxBlobAddrs) + "/a",
		"an address without /":  "playnode://lease/" + block.String() + "#ip4",
		"more than a megabyte":  "playnode://lease/" + block.String() + "#" + strings.Repeat("/a", 1<<19),
		"not a link of any one": "k51",
	} {
		if l, err := ParseBlobLink(s, BlobLease); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
}
