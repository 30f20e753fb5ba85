package manifests

import "github.com/ipfs/go-cid"

// What a card may make its readers hold.
const (
	// MaxCardTracks is how many tracks all selections of a card list together.
	MaxCardTracks = 4096
	// MaxClip is the largest clip, MaxClips the most that all of a card's
	// come to, in bytes.
	MaxClip  = 4 << 20
	MaxClips = 1 << 30
	// MaxClipLeaves and MaxClipNode bound the one inner node that a clip of
	// more than one leaf has.
	MaxClipLeaves = 64
	MaxClipNode   = 8 << 10
	// MaxOpen is how many excerpts a card leads to.
	MaxOpen = 256
	// MaxPicture is the largest picture, in bytes.
	MaxPicture = 64 << 10
)

// Longest texts of a card, in bytes.
const (
	MaxCardName  = 128
	MaxCardAbout = 1024
	MaxCardWords = 512
	MaxCardTitle = 128
)

// Card is what a DJ says of herself to everyone: the block that a head links
// to, covered by its signature. Texts are as [Clean] leaves them, "" where
// nothing is said.
type Card struct {
	Name    string
	About   string
	Picture []byte     // JPEG, empty where there is none
	Sels    []CardSel  // sorted by Sel
	Open    []CardOpen // sorted by ID
}

// CardOpen is where an excerpt is found that is open to who has its link.
type CardOpen struct {
	ID    LiveID // as the link has it
	Block cid.Cid
}

// CardSel is what the card says of one selection.
type CardSel struct {
	Sel    SelID
	Words  string
	Tracks []CardTrack // sorted by Track: their order stays sealed
}

// CardTrack is what is public of a track besides its entry: a title, a clip,
// or both.
type CardTrack struct {
	// Track is the digest of the track's CID; a link would have a pin fetch
	// whatever the card names.
	Track [32]byte
	Title *CardTitle
	Clip  *Clip
}

// CardTitle is a track's title in clear.
type CardTitle struct{ Title, Artist string }

// Clip is a preview: a plain UnixFS file of its own, one raw leaf or one node
// over raw leaves.
type Clip struct {
	File  cid.Cid
	Size  uint64 // exact, in bytes
	Codec string // as internal/audio names it: "opus" or "flac" today
}

func (k *Card) code(c *coder) {
	c.fieldsOr(4, len(k.Open) > 0, func(opens bool) {
		c.key("name")
		c.text(&k.Name, 0, MaxCardName)
		if opens { // left out where there is none: cards of before stay as they are
			c.key("open")
			list(c, &k.Open, 1, MaxOpen, func(o *CardOpen) {
				c.tuple(2)
				c.fixed(o.ID[:])
				c.link(&o.Block, codecRaw)
			})
		}
		c.key("sels")
		list(c, &k.Sels, 0, 1024, func(s *CardSel) { s.code(c) })
		c.key("about")
		c.text(&k.About, 0, MaxCardAbout)
		c.key("picture")
		c.bytes(&k.Picture, 0, MaxPicture)
	})
}

func (s *CardSel) code(c *coder) {
	c.fields(3, func() {
		c.key("sel")
		c.fixed(s.Sel[:])
		c.key("words")
		c.text(&s.Words, 0, MaxCardWords)
		c.key("tracks")
		list(c, &s.Tracks, 0, MaxCardTracks, func(t *CardTrack) { t.code(c) })
	})
}

func (t *CardTrack) code(c *coder) {
	c.tuple(3)
	c.fixed(t.Track[:])
	if c.present(t.Title != nil) {
		if c.reading {
			t.Title = new(CardTitle)
		}
		c.tuple(2)
		c.text(&t.Title.Title, 0, MaxCardTitle)
		c.text(&t.Title.Artist, 0, MaxCardTitle)
	}
	if c.present(t.Clip != nil) {
		if c.reading {
			t.Clip = new(Clip)
		}
		c.tuple(3)
		c.link(&t.Clip.File, codecRaw, codecDagPB)
		number(c, &t.Clip.Size, MaxClip)
		c.text(&t.Clip.Codec, 1, 32)
	}
}

func (k *Card) check() error {
	texts := []string{k.Name, k.About}
	tracks, bytes := 0, uint64(0)
	if len(k.Picture) > 0 && (len(k.Picture) < 3 || string(k.Picture[:3]) != "\xff\xd8\xff") {
		return invalid("card with a picture that is no JPEG")
	}
	if !ascending(k.Sels, func(s *CardSel) []byte { return s.Sel[:] }) {
		return invalid("card's selections are not sorted")
	}
	if !ascending(k.Open, func(o *CardOpen) []byte { return o.ID[:] }) {
		return invalid("card's excerpts are not sorted")
	}
	for _, s := range k.Sels {
		texts = append(texts, s.Words)
		if tracks += len(s.Tracks); tracks > MaxCardTracks {
			return invalid("card with over %d tracks", MaxCardTracks)
		}
		if !ascending(s.Tracks, func(t *CardTrack) []byte { return t.Track[:] }) {
			return invalid("card's tracks are not sorted")
		}
		for _, t := range s.Tracks {
			if t.Title == nil && t.Clip == nil {
				return invalid("card with a track of which it says nothing")
			}
			if t.Title != nil {
				texts = append(texts, t.Title.Title, t.Title.Artist)
			}
			if t.Clip != nil {
				texts = append(texts, t.Clip.Codec)
				if t.Clip.Size < 1 || t.Clip.Size > MaxBlock && t.Clip.File.Prefix().Codec == codecRaw {
					return invalid("card with a clip of %d bytes", t.Clip.Size)
				}
				if bytes += t.Clip.Size; bytes > MaxClips {
					return invalid("card with over %d bytes of clips", MaxClips)
				}
			}
		}
	}
	for _, t := range texts {
		if Clean(t, len(t)) != t {
			return invalid("card with the text %.60q, which is not clean", t)
		}
	}
	return nil
}

// Selection is what the card says of one; nothing where it does not list it.
func (k *Card) Selection(id SelID) CardSel {
	for _, s := range k.Sels {
		if s.Sel == id {
			return s
		}
	}
	return CardSel{Sel: id}
}

// Clips are all of the card's, each file once.
func (k *Card) Clips() []Clip {
	var out []Clip
	seen := map[cid.Cid]bool{}
	for _, s := range k.Sels {
		for _, t := range s.Tracks {
			if t.Clip != nil && !seen[t.Clip.File] {
				seen[t.Clip.File] = true
				out = append(out, *t.Clip)
			}
		}
	}
	return out
}

// Encode is the card's canonical block.
func (k *Card) Encode() ([]byte, error) { return encode(k, MaxBlock) }

// DecodeCard reads a card.
func DecodeCard(data []byte) (*Card, error) { return decoded[Card](data, MaxBlock) }
