package audio

import (
	"fmt"
	"io"
	"slices"

	"playnode/internal/audio/frames"
	"playnode/internal/audio/mp3"
)

// readAhead is how many bytes are read at once: a second of sound, and no more,
// as what lies farther may still be on its way.
const readAhead = 16 << 10

// mpeg decodes sealed MPEG frames.
type mpeg struct {
	t     Track
	layer int
	w     *frames.Window
	size  int64
	index *frames.Index
	eng   Engine
	total int64 // frames, by the track

	off     int64 // of the next frame
	frame   int64 // its number
	silence int64 // frames to come out silent before it
	until   int64 // frames before this one are decoded and dropped
	pos     int64 // next sample frame to hand out
	have    []float32
	from    int64 // decoded sample frame that have begins with
	damaged int64 // frames handed out that are not what was encoded
	buf     [2 * mp3.MaxSamples]float32
	raw     [2 * mp3.MaxSamples]float32
}

func openMPEG(r io.ReaderAt, size int64, t Track, opt Options) (*mpeg, error) {
	spf := int64(t.SamplesPerFrame)
	layer := slices.Index(layers[:], t.Codec)
	if spf != 576 && spf != 1152 && spf != 384 || t.Channels > 2 || t.Delay < 0 || t.Padding < 0 {
		return nil, fmt.Errorf("open mp3: %w: %d samples a frame, %d channels, delay %d, padding %d", ErrDamaged, spf, t.Channels, t.Delay, t.Padding)
	}
	all := int64(t.Delay) + t.Samples + int64(t.Padding)
	if all%spf != 0 || all/spf > size/mp3.HeaderSize {
		return nil, fmt.Errorf("open mp3: %w: %d samples in %d bytes", ErrDamaged, all, size)
	}
	x, err := frames.Parse(t.Index)
	if err != nil {
		return nil, fmt.Errorf("open mp3: %w: %w", ErrDamaged, err)
	}
	m := &mpeg{t: t, layer: layer, size: size, index: x, total: all / spf, w: frames.NewWindow(r, size, readAhead)}
	switch {
	case layer != 3:
		m.eng = OwnMP3() // the only one that knows the others
	case opt.Engine != nil:
		m.eng = opt.Engine()
	default:
		m.eng = DefaultEngine()
	}
	return m, m.SeekFrame(0)
}

func (m *mpeg) Format() Format { return Format{m.t.Rate, m.t.Channels} }
func (m *mpeg) Len() int64     { return m.t.Samples }
func (m *mpeg) Close() error   { m.eng, m.w, m.have, m.pos = nil, nil, nil, m.t.Samples; return nil }

func (m *mpeg) SeekFrame(frame int64) error {
	m.pos = max(0, min(frame, m.t.Samples))
	m.until = (m.pos + int64(m.t.Delay)) / int64(m.t.SamplesPerFrame)
	m.have, m.silence = nil, 0
	m.frame, m.off = m.index.Find(m.until)
	if m.eng != nil {
		m.eng.Reset()
	}
	return nil
}

func (m *mpeg) Read(dst []float32) (int, error) {
	ch, done := m.t.Channels, 0
	for done*ch < len(dst) && m.pos < m.t.Samples {
		if len(m.have) == 0 {
			if err := m.next(); err != nil {
				return done, err
			}
			continue
		}
		if skip := m.pos + int64(m.t.Delay) - m.from; skip > 0 {
			n := min(skip, int64(len(m.have)/ch))
			m.have, m.from = m.have[n*int64(ch):], m.from+n
			continue
		}
		n := int(min(int64(len(dst)/ch-done), int64(len(m.have)/ch), m.t.Samples-m.pos))
		copy(dst[done*ch:], m.have[:n*ch])
		m.have = m.have[n*ch:]
		m.from, m.pos, done = m.from+int64(n), m.pos+int64(n), done+n
	}
	if done == 0 && len(dst) >= ch {
		return 0, io.EOF
	}
	return done, nil
}

// next decodes one frame into have, or drops it on the way to until.
func (m *mpeg) next() error {
	ch, spf := m.t.Channels, m.t.SamplesPerFrame
	if m.silence > 0 {
		m.silence--
		m.damaged++
		clear(m.buf[:spf*ch])
		m.deliver()
		if m.silence == 0 {
			m.eng.Reset()
		}
		return nil
	}
	h, size, err := m.header()
	if err != nil {
		return err
	}
	if size == 0 { // no frame where one should be: silence to the next that the index knows
		base, at, ok := m.index.After(m.frame, m.off)
		if !ok || base > m.total {
			return fmt.Errorf("decode mp3 frame %d: %w", m.frame, ErrDamaged)
		}
		m.silence, m.off = base-m.frame, at
		return nil
	}
	b, err := m.w.Peek(m.off, size)
	if err != nil {
		return fmt.Errorf("decode mp3 frame %d: %w", m.frame, err)
	}
	m.off += int64(size)
	n, err := m.eng.Decode(b, m.raw[:]) // what could not be had is silent
	if err != nil && m.frame >= m.until {
		m.damaged++
	}
	clear(m.raw[n*h.Channels() : spf*h.Channels()])
	fit(m.buf[:spf*ch], ch, m.raw[:], h.Channels())
	m.deliver()
	return nil
}

// fit fills dst, of ch channels, with samples of as many as from; one and two are known.
func fit(dst []float32, ch int, src []float32, from int) {
	switch {
	case from == ch:
		copy(dst, src)
	case ch == 2:
		for i := range len(dst) / 2 {
			dst[2*i], dst[2*i+1] = src[i], src[i]
		}
	default:
		for i := range dst {
			dst[i] = (src[2*i] + src[2*i+1]) / 2
		}
	}
}

// deliver makes buf what is handed out, as frame m.frame.
func (m *mpeg) deliver() {
	if m.frame >= m.until {
		m.have = m.buf[:m.t.SamplesPerFrame*m.t.Channels]
		m.from = m.frame * int64(m.t.SamplesPerFrame)
	}
	m.frame++
}

// header reads the next frame's header; size 0 says that none of this stream is there.
func (m *mpeg) header() (h mp3.Header, size int, err error) {
	if m.off >= m.size {
		return h, 0, nil
	}
	b, err := m.w.Peek(m.off, mp3.HeaderSize)
	if err != nil {
		return h, 0, fmt.Errorf("decode mp3 frame %d: %w", m.frame, err)
	}
	h, perr := mp3.ParseHeader(b)
	if perr != nil || h.Layer != m.layer || h.Rate != m.t.Rate || h.Samples() != m.t.SamplesPerFrame {
		return h, 0, nil
	}
	size = h.Size()
	if h.Bitrate == 0 && m.index.Free > 0 {
		size = m.index.Free
		if h.Padding {
			size++
		}
	}
	if size < mp3.HeaderSize || m.off+int64(size) > m.size {
		return h, 0, nil
	}
	return h, size, nil
}
