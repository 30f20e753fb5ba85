package manifests

// MaxExcerpt is how many segments an excerpt has: three hours and a third of such
// as last a second.
const MaxExcerpt = 12_000

// Excerpt is a stretch of a set that was on air, open to who has its key: which
// of the set's segments it is, each with the key that opens it and no other.
type Excerpt struct {
	Live  LiveID // the set
	First uint64 // the first segment's number
	// Final tells whether the last is the set's final one.
	Final bool
	Init  MediaInit // how the media begins
	Text  string    // what it is, as Clean leaves it
	Parts []Part
}

// Part is one segment of an Excerpt.
type Part struct {
	Digest   [32]byte // of the sealed segment, a raw block
	Key      [32]byte
	Len      int64 // ticks
	Gen, Cur uint64
}

func (e *Excerpt) code(c *coder) {
	c.fields(6, func() {
		c.key("init")
		c.tuple(3)
		c.text(&e.Init.Codec, 1, 32)
		number(c, &e.Init.Rate, 1<<30)
		c.bytes(&e.Init.Head, 0, MaxSegment)
		c.key("live")
		c.fixed(e.Live[:])
		c.key("text")
		c.text(&e.Text, 0, 512)
		c.key("final")
		c.flag(&e.Final)
		c.key("first")
		number(c, &e.First, MaxInt)
		c.key("parts")
		list(c, &e.Parts, 1, MaxExcerpt, func(p *Part) {
			c.tuple(5)
			c.fixed(p.Digest[:])
			c.fixed(p.Key[:])
			number(c, &p.Len, MaxInt)
			number(c, &p.Gen, MaxInt)
			number(c, &p.Cur, MaxInt)
		})
	})
}

func (e *Excerpt) check() error {
	if Clean(e.Text, len(e.Text)) != e.Text || Clean(e.Init.Codec, len(e.Init.Codec)) != e.Init.Codec || e.Init.Rate < 1 {
		return invalid("excerpt %.60q of codec %.40q at %d ticks a second", e.Text, e.Init.Codec, e.Init.Rate)
	}
	return nil
}

// Encode is the excerpt's canonical plaintext.
func (e *Excerpt) Encode() ([]byte, error) { return encode(e, MaxSegment) }

// DecodeExcerpt reads an excerpt's plaintext.
func DecodeExcerpt(plain []byte) (*Excerpt, error) { return decoded[Excerpt](plain, MaxSegment) }
