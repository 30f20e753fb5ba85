package player

import (
	"fmt"

	"playnode/internal/audio"
	"playnode/internal/audio/pcm"
	"playnode/internal/audio/resample"
)

// mix brings tracks to one rate, two channels and their loudness, and hands
// them to the sink with nothing between: neighbours of one rate share a
// resampler's state, and where the rates are the sink's own and the gain is 1
// the samples pass unchanged. It is used by one goroutine and allocates at a
// change of format only.
type mix struct {
	sink   Sink
	rs     *resample.Resampler // nil while rates are equal
	format audio.Format
	gain   float32

	stereo []float32
	out    []float32

	sent int64 // frames handed to the sink
	base int64 // of them, before the present resampler began
	took int64 // frames that it took
}

// begin sets the format and gain of the track that follows.
func (m *mix) begin(f audio.Format, gain float32) error {
	m.gain = gain
	if f == m.format {
		return nil
	}
	if f.Rate != m.format.Rate {
		if err := m.flush(); err != nil {
			return err
		}
		m.rs, m.base, m.took = nil, m.sent, 0
		if f.Rate != m.sink.Rate() {
			rs, err := resample.New(f.Rate, m.sink.Rate(), Channels)
			if err != nil {
				return fmt.Errorf("resample: %w", err)
			}
			m.rs = rs
		}
	}
	m.format = f
	if m.stereo == nil {
		m.stereo = make([]float32, blockFrames*Channels)
		m.out = make([]float32, blockFrames*Channels)
	}
	return nil
}

// at is the frame at which the next sample written will be heard.
func (m *mix) at() int64 {
	if m.rs == nil {
		return m.sent
	}
	return m.base + m.rs.Length(m.took)
}

// write takes up to blockFrames frames of the track's format.
func (m *mix) write(samples []float32) error {
	n := len(samples) / m.format.Channels
	src := m.stereo[:n*Channels]
	pcm.Stereo(src, samples, m.format.Channels)
	if m.gain != 1 {
		for i := range src {
			src[i] *= m.gain
		}
	}
	m.took += int64(n)
	if m.rs == nil {
		return m.send(src)
	}
	for len(src) > 0 {
		wrote, took := m.rs.Process(m.out, src)
		src = src[took*Channels:]
		if err := m.send(m.out[:wrote*Channels]); err != nil {
			return err
		}
	}
	return nil
}

// flush hands out what the resampler still owes.
func (m *mix) flush() error {
	if m.rs == nil {
		return nil
	}
	for {
		n := m.rs.Flush(m.out)
		if n == 0 {
			m.rs.Reset()
			m.base, m.took = m.sent, 0
			return nil
		}
		if err := m.send(m.out[:n*Channels]); err != nil {
			return err
		}
	}
}

func (m *mix) send(samples []float32) error {
	if len(samples) == 0 {
		return nil
	}
	if err := m.sink.Write(samples); err != nil {
		return fmt.Errorf("write to sink: %w", err)
	}
	m.sent += int64(len(samples) / Channels)
	return nil
}

// silence writes n frames of it, past any resampler.
func (m *mix) silence(n int) error {
	m.sent += int64(n)
	m.base += int64(n)
	zero := m.out[:n*Channels]
	clear(zero)
	if err := m.sink.Write(zero); err != nil {
		return fmt.Errorf("write to sink: %w", err)
	}
	return nil
}
