//go:build linux && (amd64 || arm64 || arm || 386 || riscv64 || loong64)

package player

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/ebitengine/purego"

	"playnode/internal/audio/pcm"
)

// alsaLatency is how much sound waits in the card, in microseconds.
const alsaLatency = 300_000

// alsaLib is libasound, opened at run time so that the program needs neither
// a C compiler nor the library where another sink is used. The names are
// alsa-lib's.
type alsaLib struct {
	open      func(pcm *uintptr, name string, stream, mode int32) int32
	setParams func(pcm uintptr, format, access int32, channels, rate uint32, soft int32, latency uint32) int32
	writei    func(pcm uintptr, buf unsafe.Pointer, frames uintptr) int
	recover   func(pcm uintptr, err, silent int32) int32
	drain     func(pcm uintptr) int32
	drop      func(pcm uintptr) int32
	close     func(pcm uintptr) int32
	strerror  func(err int32) string
}

// Of alsa-lib's pcm.h.
const (
	alsaPlayback    = 0
	alsaInterleaved = 3
	alsaS16         = 2  // SND_PCM_FORMAT_S16_LE
	alsaS32         = 10 // SND_PCM_FORMAT_S32_LE
)

func loadALSA() (lib *alsaLib, err error) {
	h, err := purego.Dlopen("libasound.so.2", purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load libasound: %w", err)
	}
	defer func() { // a library without one of these symbols
		if r := recover(); r != nil {
			lib, err = nil, fmt.Errorf("load libasound: %v", r)
		}
	}()
	lib = new(alsaLib)
	for name, f := range map[string]any{
		"snd_pcm_open": &lib.open, "snd_pcm_set_params": &lib.setParams, "snd_pcm_writei": &lib.writei, "snd_pcm_recover": &lib.recover,
		"snd_pcm_drain": &lib.drain, "snd_pcm_drop": &lib.drop, "snd_pcm_close": &lib.close, "snd_strerror": &lib.strerror,
	} {
		purego.RegisterLibFunc(f, h, name)
	}
	// The library writes its complaints to stderr; ours are errors. Any C
	// function that ignores its arguments will do for a listener.
	if quiet, err := purego.Dlsym(purego.RTLD_DEFAULT, "getpid"); err == nil {
		var handler func(uintptr) int32
		purego.RegisterLibFunc(&handler, h, "snd_lib_error_set_handler")
		handler(quiet)
	}
	return lib, nil
}

func (l *alsaLib) err(act string, code int) error {
	return fmt.Errorf("%s: %s", act, l.strerror(int32(code)))
}

// alsaSink plays through libasound. Its Write takes the card's pace.
type alsaSink struct {
	lib  *alsaLib
	pcm  uintptr
	rate int
	wide bool // 32 bits a sample
	buf  []byte
	stop <-chan struct{} // the Play that opened us has ended
}

// openALSA opens a device, "default" if device is empty. It prefers a rate
// that the card has by itself to one that libasound would have to resample.
func openALSA(ctx context.Context, device string, rate int) (Sink, error) {
	lib, err := loadALSA()
	if err != nil {
		return nil, err
	}
	if device == "" {
		device = "default"
	}
	s := &alsaSink{lib: lib, stop: ctx.Done()}
	if e := lib.open(&s.pcm, device, alsaPlayback, 0); e < 0 {
		return nil, lib.err(fmt.Sprintf("open ALSA device %q", device), int(e))
	}
	var last int32
	for _, soft := range []int32{0, 1} {
		for _, r := range []int{rate, 48000, 44100, 96000} {
			for _, format := range []int32{alsaS16, alsaS32} {
				if last = lib.setParams(s.pcm, format, alsaInterleaved, Channels, uint32(r), soft, alsaLatency); last >= 0 {
					s.rate, s.wide = r, format == alsaS32
					return s, nil
				}
			}
		}
	}
	lib.close(s.pcm)
	return nil, lib.err(fmt.Sprintf("set up ALSA device %q", device), int(last))
}

func (s *alsaSink) Rate() int { return s.rate }

func (s *alsaSink) Write(samples []float32) error {
	if need := 4 * len(samples); cap(s.buf) < need {
		s.buf = make([]byte, need)
	}
	size := 2 * Channels
	if s.wide {
		size = 4 * Channels
		for i, v := range samples {
			x := math.RoundToEven(float64(v) * (1 << 31))
			binary.LittleEndian.PutUint32(s.buf[4*i:], uint32(int32(max(math.MinInt32, min(math.MaxInt32, x)))))
		}
	} else {
		pcm.S16(s.buf, samples)
	}
	frames := len(samples) / Channels
	for at, failed := 0, 0; at < frames; {
		select {
		case <-s.stop:
			return context.Canceled
		default:
		}
		n := s.lib.writei(s.pcm, unsafe.Pointer(&s.buf[at*size]), uintptr(frames-at))
		if n < 0 {
			// An underrun or a suspended machine: the card goes on.
			if e := s.lib.recover(s.pcm, int32(n), 1); e < 0 {
				return s.lib.err("write to ALSA", int(e))
			}
			if failed++; failed > 10 {
				return s.lib.err("write to ALSA", n)
			}
			continue
		}
		at, failed = at+n, 0
	}
	return nil
}

// Drain waits in libasound, which knows no context: at most the latency.
func (s *alsaSink) Drain(context.Context) error {
	if e := s.lib.drain(s.pcm); e < 0 {
		return s.lib.err("drain ALSA", int(e))
	}
	return nil
}

func (s *alsaSink) Close() error {
	select {
	case <-s.stop:
		s.lib.drop(s.pcm)
	default:
	}
	if e := s.lib.close(s.pcm); e < 0 {
		return s.lib.err("close ALSA", int(e))
	}
	return nil
}
