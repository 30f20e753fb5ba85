package manifests

// MaxInfo is the largest plaintext of a track's info, in bytes, so that it
// is at most 1 MiB when sealed.
const MaxInfo = MaxBlock - 1024 - 4

// Info is the plaintext of a track's sealed metadata. Texts are as [Clean]
// leaves them.
type Info struct {
	Title, Artist, Album string
	Disc, Number         int    // 0 where unknown
	Cover                *Cover // nil where none
	Codec                string // of the plaintext inside the sealed file, as internal/audio names it
	Rate                 int    // Hz
	Channels             int
	Samples              int64 // exact sample frames, after gapless trimming
	SamplesPerFrame      int   // 0 where the codec has no frames of one length
	Delay, Padding       int   // samples to drop at the start and at the end
	Index                []byte
	Loudness             *Loudness // nil where not measured, or silence
	Waveform             []byte    // buckets of min, max, RMS
	Rights, ISRC         string    // "" where unknown
	Explicit             *bool
	Analyser             string
	AnalyserVersion      int
	Tags                 []Tag     // further facts to search by
	Recorded             *Recorded // of a set that was live; nil for a file of its own
}

// Cover is a picture.
type Cover struct {
	MIME string
	Data []byte
}

// Loudness is EBU R128's, in thousandths: of LUFS, LU and dBTP.
type Loudness struct {
	Integrated int // milli-LUFS, within -100,000 .. 100,000
	Range      int // milli-LU, 0 or more
	Peak       int // milli-dBTP, within -100,000 .. 100,000
}

// Tag is a fact with a name.
type Tag struct{ Key, Value string }

// milliZero is the encoded integer of 0 dB: records have no negative ones.
const milliZero = 100_000

func (i *Info) code(c *coder) {
	c.fields(22, func() {
		c.key("ch")
		number(c, &i.Channels, 255)
		c.key("set")
		if c.present(i.Recorded != nil) {
			if c.reading {
				i.Recorded = new(Recorded)
			}
			i.Recorded.code(c)
		}
		c.key("spf")
		number(c, &i.SamplesPerFrame, 1<<20)
		c.key("disc")
		number(c, &i.Disc, 1<<20)
		c.key("isrc")
		c.text(&i.ISRC, 0, 32)
		c.key("loud")
		if c.present(i.Loudness != nil) {
			if c.reading {
				i.Loudness = new(Loudness)
			}
			c.tuple(3)
			milli(c, &i.Loudness.Integrated)
			number(c, &i.Loudness.Range, 2*milliZero)
			milli(c, &i.Loudness.Peak)
		}
		c.key("rate")
		number(c, &i.Rate, 1<<24)
		c.key("tags")
		list(c, &i.Tags, 0, 32, func(t *Tag) {
			c.tuple(2)
			c.text(&t.Key, 1, 64)
			c.text(&t.Value, 1, 512)
		})
		c.key("wave")
		c.bytes(&i.Waveform, 0, 64<<10)
		c.key("album")
		c.text(&i.Album, 0, 512)
		c.key("codec")
		c.text(&i.Codec, 1, 32)
		c.key("cover")
		if c.present(i.Cover != nil) {
			if c.reading {
				i.Cover = new(Cover)
			}
			c.tuple(2)
			c.text(&i.Cover.MIME, 1, 64)
			c.bytes(&i.Cover.Data, 1, MaxInfo)
		}
		c.key("delay")
		number(c, &i.Delay, 1<<24)
		c.key("index")
		c.bytes(&i.Index, 0, MaxInfo)
		c.key("title")
		c.text(&i.Title, 0, 512)
		c.key("track")
		number(c, &i.Number, 1<<20)
		c.key("artist")
		c.text(&i.Artist, 0, 512)
		c.key("rights")
		c.text(&i.Rights, 0, 512)
		c.key("padding")
		number(c, &i.Padding, 1<<24)
		c.key("samples")
		number(c, &i.Samples, MaxInt)
		c.key("analyser")
		c.tuple(2)
		c.text(&i.Analyser, 0, 32)
		number(c, &i.AnalyserVersion, 1<<20)
		c.key("explicit")
		if c.present(i.Explicit != nil) {
			if c.reading {
				i.Explicit = new(bool)
			}
			c.flag(i.Explicit)
		}
	})
}

// milli codes a signed thousandth.
func milli(c *coder, p *int) {
	v := *p + milliZero
	number(c, &v, 2*milliZero)
	if c.reading {
		*p = v - milliZero
	}
}

func (i *Info) check() error {
	texts := []string{i.Title, i.Artist, i.Album, i.Rights, i.ISRC, i.Codec, i.Analyser}
	for _, t := range i.Tags {
		texts = append(texts, t.Key, t.Value)
	}
	if i.Cover != nil {
		texts = append(texts, i.Cover.MIME)
	}
	for _, t := range texts {
		if Clean(t, len(t)) != t {
			return invalid("info with the text %.60q, which is not clean", t)
		}
	}
	if i.Rate < 1 || i.Channels < 1 {
		return invalid("info of %d Hz and %d channels", i.Rate, i.Channels)
	}
	if i.Recorded != nil {
		return i.Recorded.check()
	}
	return nil
}

// Encode is the info's canonical plaintext.
func (i *Info) Encode() ([]byte, error) { return encode(i, MaxInfo) }

// DecodeInfo reads an info block's plaintext.
func DecodeInfo(data []byte) (*Info, error) { return decoded[Info](data, MaxInfo) }
