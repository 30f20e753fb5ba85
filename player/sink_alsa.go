//go:build linux && (amd64 || arm64 || arm || 386 || riscv64 || loong64)

package player

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"

	"playnode/internal/audio/pcm"
)

const (
	// alsaWait is how long libasound waits at a time for room, in
	// milliseconds; between, the end of a Play is looked for.
	alsaWait = 50
	// alsaBegin is the part of a second that a card needs to begin.
	alsaBegin = 25
	// alsaStuck is how long a card may take nothing.
	alsaStuck = 2 * time.Second
)

// alsaLib is libasound, opened at run time so that the program needs neither
// a C compiler nor the library where another sink is used. The names are
// alsa-lib's. What is called for each block is called by address: that
// allocates nothing.
type alsaLib struct {
	open      func(pcm *uintptr, name string, stream, mode int32) int32
	setParams func(pcm uintptr, format, access int32, channels, rate uint32, soft int32, latency uint32) int32
	getParams func(pcm uintptr, buffer, period *uintptr) int32
	recover   func(pcm uintptr, err, silent int32) int32
	drain     func(pcm uintptr) int32
	close     func(pcm uintptr) int32
	strerror  func(err int32) string
	hints     func(card int32, iface string, hints *unsafe.Pointer) int32
	hint      func(hint unsafe.Pointer, id string) unsafe.Pointer
	freeHints func(hints unsafe.Pointer) int32
	free      func(p unsafe.Pointer)

	writei, avail, wait, delay, drop, prepare, start, state uintptr
}

// Of alsa-lib's pcm.h.
const (
	alsaPlayback    = 0
	alsaInterleaved = 3
	alsaS16         = 2  // SND_PCM_FORMAT_S16_LE
	alsaS32         = 10 // SND_PCM_FORMAT_S32_LE
	alsaPrepared    = 2  // SND_PCM_STATE_PREPARED
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
		"snd_pcm_open": &lib.open, "snd_pcm_set_params": &lib.setParams, "snd_pcm_get_params": &lib.getParams,
		"snd_pcm_recover": &lib.recover, "snd_pcm_drain": &lib.drain, "snd_pcm_close": &lib.close, "snd_strerror": &lib.strerror,
		"snd_device_name_hint": &lib.hints, "snd_device_name_get_hint": &lib.hint, "snd_device_name_free_hint": &lib.freeHints,
	} {
		purego.RegisterLibFunc(f, h, name)
	}
	purego.RegisterLibFunc(&lib.free, purego.RTLD_DEFAULT, "free")
	for name, f := range map[string]*uintptr{
		"snd_pcm_writei": &lib.writei, "snd_pcm_avail_update": &lib.avail, "snd_pcm_wait": &lib.wait, "snd_pcm_delay": &lib.delay,
		"snd_pcm_drop": &lib.drop, "snd_pcm_prepare": &lib.prepare, "snd_pcm_start": &lib.start, "snd_pcm_state": &lib.state,
	} {
		if *f, err = purego.Dlsym(h, name); err != nil {
			return nil, fmt.Errorf("load libasound: %w", err)
		}
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
	lib    *alsaLib
	pcm    uintptr
	rate   int
	wide   bool // 32 bits a sample
	buffer int  // frames that the card's queue holds
	buf    []byte
	out    *[1]int         // what libasound writes a delay to
	queued int             // frames taken and not yet heard, as Delay has last said
	stop   <-chan struct{} // the Play that opened us has ended
	closed bool
}

// openALSA opens a device, "default" if device is empty. It prefers a rate
// that the card has by itself to one that libasound would have to resample.
func openALSA(ctx context.Context, device string, want sinkWant) (Sink, error) {
	lib, err := loadALSA()
	if err != nil {
		return nil, err
	}
	if device == "" {
		device = "default"
	}
	s := &alsaSink{lib: lib, stop: ctx.Done(), out: new([1]int)}
	if e := lib.open(&s.pcm, device, alsaPlayback, 0); e < 0 {
		return nil, lib.err(fmt.Sprintf("open ALSA device %q", device), int(e))
	}
	rates := []int{want.rate, 48000, 44100, 96000}
	if want.fixed {
		rates = rates[:1]
	}
	var last int32
	for _, soft := range []int32{0, 1} {
		for _, r := range rates {
			for _, format := range []int32{alsaS16, alsaS32} {
				last = lib.setParams(s.pcm, format, alsaInterleaved, Channels, uint32(r), soft, uint32(want.latency.Microseconds()))
				if last >= 0 {
					s.rate, s.wide = r, format == alsaS32
					var buffer, period uintptr
					lib.getParams(s.pcm, &buffer, &period)
					s.buffer = int(buffer)
					return s, nil
				}
			}
		}
	}
	lib.close(s.pcm)
	return nil, lib.err(fmt.Sprintf("set up ALSA device %q", device), int(last))
}

func (s *alsaSink) Rate() int    { return s.rate }
func (s *alsaSink) Rounds() bool { return !s.wide }

// call calls a function of libasound's that returns a long or an int.
func (s *alsaSink) call(f, a, b uintptr) int {
	r, _, _ := purego.SyscallN(f, s.pcm, a, b)
	return int(r)
}

// short is an int that came in a register wider than it.
func short(n int) int { return int(int32(n)) }

// frame is bytes a frame.
func (s *alsaSink) frame() int {
	if s.wide {
		return 4 * Channels
	}
	return 2 * Channels
}

func (s *alsaSink) Write(samples []float32) error {
	if need := 4 * len(samples); cap(s.buf) < need {
		s.buf = make([]byte, need)
	}
	if s.wide {
		for i, v := range samples {
			x := math.RoundToEven(float64(v) * (1 << 31))
			binary.LittleEndian.PutUint32(s.buf[4*i:], uint32(int32(max(math.MinInt32, min(math.MaxInt32, x)))))
		}
	} else {
		pcm.S16(s.buf[:2*len(samples)], samples)
	}
	frames := len(samples) / Channels
	var since time.Time // when it began to take nothing
	for at, failed := 0, 0; at < frames; {
		select {
		case <-s.stop:
			return context.Canceled
		default:
		}
		n := s.call(s.lib.avail, 0, 0)
		if n == 0 {
			if n = short(s.call(s.lib.wait, alsaWait, 0)); n >= 0 {
				if since.IsZero() {
					since = time.Now()
				} else if time.Since(since) > alsaStuck {
					return errors.New("write to ALSA: the card takes no more")
				}
				continue
			}
		}
		if n > 0 {
			n = s.call(s.lib.writei, uintptr(unsafe.Pointer(&s.buf[at*s.frame()])), uintptr(min(n, frames-at)))
			runtime.KeepAlive(s.buf)
		}
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
		at, failed, since = at+n, 0, time.Time{}
		s.queued += n
		// By itself it would begin when it is full.
		if s.queued >= min(s.buffer/2, s.rate/alsaBegin) && short(s.call(s.lib.state, 0, 0)) == alsaPrepared {
			s.call(s.lib.start, 0, 0)
		}
	}
	return nil
}

func (s *alsaSink) Delay() int {
	if short(s.call(s.lib.delay, uintptr(unsafe.Pointer(s.out)), 0)) < 0 {
		s.out[0] = 0
	}
	runtime.KeepAlive(s.out)
	s.queued = max(0, min(s.queued, s.out[0]))
	return s.queued
}

// Flush stops the card at once.
func (s *alsaSink) Flush() int {
	n := s.Delay()
	s.call(s.lib.drop, 0, 0)
	s.call(s.lib.prepare, 0, 0)
	s.queued = 0
	return n
}

// Drain waits in libasound, which knows no context: at most the latency.
func (s *alsaSink) Drain(context.Context) error {
	if e := s.lib.drain(s.pcm); e < 0 {
		return s.lib.err("drain ALSA", int(e))
	}
	s.queued = 0
	s.call(s.lib.prepare, 0, 0)
	return nil
}

func (s *alsaSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	s.call(s.lib.drop, 0, 0) // what was to be heard was drained
	if e := s.lib.close(s.pcm); e < 0 {
		return s.lib.err("close ALSA", int(e))
	}
	return nil
}

// listALSA are the devices of alsa-lib's configuration that play.
func listALSA(context.Context) ([]Device, error) {
	lib, err := loadALSA()
	if err != nil {
		return nil, err
	}
	var all unsafe.Pointer
	if e := lib.hints(-1, "pcm", &all); e < 0 {
		return nil, lib.err("list ALSA devices", int(e))
	}
	defer lib.freeHints(all)
	text := func(hint unsafe.Pointer, id string) string {
		p := lib.hint(hint, id)
		if p == nil {
			return ""
		}
		defer lib.free(p)
		var b []byte
		for i := range 256 {
			c := *(*byte)(unsafe.Add(p, i))
			if c == 0 {
				break
			}
			b = append(b, c)
		}
		return string(b)
	}
	var out []Device
	for i := 0; i < 256; i++ { // ends with a null
		hint := *(*unsafe.Pointer)(unsafe.Add(all, uintptr(i)*unsafe.Sizeof(all)))
		if hint == nil {
			break
		}
		if text(hint, "IOID") == "Input" {
			continue
		}
		name := text(hint, "NAME")
		if name == "" || name == "null" {
			continue
		}
		about := []rune(text(hint, "DESC"))
		for k, r := range about {
			if r == '\n' {
				about[k] = ' '
			}
		}
		out = append(out, Device{Sink: "alsa:" + name, About: string(about), Default: name == "default"})
	}
	return out, nil
}
