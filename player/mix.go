package player

import (
	"errors"
	"fmt"
	"io"

	"playnode/internal/audio/resample"
)

// errCrossed says that the voice that was faded out has ended, and the one
// that was faded in goes on alone.
var errCrossed = errors.New("crossfaded")

// mix brings tracks to one rate, two channels and their loudness, one after
// the other with nothing between, or one over the other. Neighbours of one
// rate share a resampler's state; where the rates are the sink's own and the
// gain is 1 the samples pass unchanged. It is used by one goroutine and
// allocates at the first track of a rate and the first crossfade only.
type mix struct {
	rate  int
	sent  int64 // frames handed out: the place of the next
	plain bool  // what was read last is as its track has it

	cur  *voice
	tail *line // of the voice before, for the next of its rate
	owed *line // a tail that must be handed out first

	in    *voice // is faded in over cur
	out   bool   // cur is faded out, and nothing in
	fade  crossfade
	a, b  []float32 // what has been read of cur and in and not yet mixed
	na    int       // frames in a
	nb    int
	spare map[int][]*resample.Resampler
}

func newMix(rate int) *mix {
	return &mix{rate: rate, spare: map[int][]*resample.Resampler{}}
}

// newLine begins a line of a voice's rate, in that voice, at a place.
func (m *mix) newLine(v *voice, base int64) (*line, error) {
	rate, l := v.format.Rate, &v.own
	*l = line{in: rate, base: base}
	if rate == m.rate {
		return l, nil
	}
	if s := m.spare[rate]; len(s) > 0 {
		l.rs, m.spare[rate] = s[len(s)-1], s[:len(s)-1]
		return l, nil
	}
	rs, err := resample.New(rate, m.rate, Channels)
	if err != nil {
		return nil, fmt.Errorf("resample: %w", err)
	}
	l.rs = rs
	return l, nil
}

// drop ends a line: its resampler may serve another.
func (m *mix) drop(l *line) {
	if l != nil && l.rs != nil {
		l.rs.Reset()
		m.spare[l.in] = append(m.spare[l.in], l.rs)
		l.rs = nil
	}
}

// join has v begin where the voice before has ended.
func (m *mix) join(v *voice) error {
	l := m.tail
	if l == nil || l.in != v.format.Rate {
		base := m.sent
		if l != nil {
			base = l.at(l.took)
		}
		m.owed = l
		var err error
		if l, err = m.newLine(v, base); err != nil {
			return err
		}
	}
	m.tail = nil
	v.enter(l)
	m.cur = v
	return nil
}

// cross has v begin now, over the last n frames of what sounds.
func (m *mix) cross(v *voice, n int64) error {
	l, err := m.newLine(v, m.sent)
	if err != nil {
		return err
	}
	v.enter(l)
	m.in, m.out = v, false
	m.fades(newCrossfade(m.sent, n, m.cur.peak, v.peak))
	return nil
}

// hush has what sounds fade out in n frames, and end.
func (m *mix) hush(n int64) {
	m.out = true
	m.fades(newCrossfade(m.sent, n, m.cur.peak, 0))
}

// fades has a crossfade begin.
func (m *mix) fades(c crossfade) {
	m.fade = c
	if m.a == nil {
		m.a, m.b = make([]float32, blockFrames*Channels), make([]float32, blockFrames*Channels)
	}
	m.na, m.nb = 0, 0
}

// read hands out up to len(dst) samples. Its error is nil, errLate, errCrossed,
// or why cur has no more: io.EOF, or what is wrong with it.
func (m *mix) read(dst []float32) (n int, err error) {
	m.plain = false
	switch {
	case m.owed != nil:
		n, err = m.pay(dst), nil
	case m.in != nil || m.out:
		n, err = m.readBoth(dst)
	default:
		m.plain = m.cur.plain()
		n, err = m.cur.read(dst)
		if err != nil && err != errLate {
			m.tail, m.cur = m.cur.line, nil
		}
	}
	m.sent += int64(n)
	return n, err
}

// pay hands out what a resampler still owes.
func (m *mix) pay(dst []float32) int {
	if m.owed.rs != nil {
		if n := m.owed.rs.Flush(dst); n > 0 {
			return n
		}
	}
	m.drop(m.owed)
	m.owed = nil
	return 0
}

// finish hands out the last of all; 0 says that there was no more.
func (m *mix) finish(dst []float32) int {
	if m.owed == nil {
		m.owed, m.tail = m.tail, nil
	}
	if m.owed == nil {
		return 0
	}
	n := m.pay(dst)
	m.sent += int64(n)
	return n
}

// over tells whether nothing is owed.
func (m *mix) over() bool { return m.owed == nil && m.tail == nil }

// readBoth crossfades.
func (m *mix) readBoth(dst []float32) (int, error) {
	left := m.fade.end - m.sent
	if left == 0 {
		m.drop(m.cur.line)
		m.cur, m.in, m.out = m.in, nil, false
		return 0, errCrossed
	}
	want := int(min(left, int64(len(dst)/Channels), int64(len(m.a)/Channels)))
	late := false
	if m.na < want {
		n, err := m.cur.read(m.a[m.na*Channels : want*Channels])
		m.na += n
		if err == errLate {
			late = true
		} else if err != nil { // its end, or its fault: what it owes, and then silence
			if rs := m.cur.line.rs; err == io.EOF && rs != nil {
				m.na += rs.Flush(m.a[m.na*Channels : want*Channels])
			}
			clear(m.a[m.na*Channels : want*Channels])
			m.na = want
		}
	}
	if m.out {
		clear(m.b[:want*Channels])
		m.nb = want
	} else if m.nb < want {
		n, err := m.in.read(m.b[m.nb*Channels : want*Channels])
		m.nb += n
		if err == errLate {
			late = true
		} else if err != nil {
			clear(m.b[m.nb*Channels : want*Channels])
			m.nb = want
		}
	}
	n := min(m.na, m.nb)
	m.fade.mix(dst[:n*Channels], m.a, m.b, m.sent)
	m.na, m.nb = rest(m.a, n, m.na), rest(m.b, n, m.nb)
	if n == 0 && late {
		return 0, errLate
	}
	return n, nil
}

// rest moves what lies behind the first n of have frames to the front.
func rest(b []float32, n, have int) int {
	copy(b, b[n*Channels:have*Channels])
	return have - n
}

// cut forgets all that was to come.
func (m *mix) cut() {
	for _, v := range []*voice{m.cur, m.in} {
		if v != nil {
			m.drop(v.line)
		}
	}
	m.drop(m.tail)
	m.drop(m.owed)
	m.cur, m.in, m.out, m.tail, m.owed = nil, nil, false, nil, nil
}
