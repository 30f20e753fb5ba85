package player

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"playnode/internal/audio/wav"
	"playnode/player/sinktest"
)

func TestParseSink(t *testing.T) {
	for s, want := range map[string]sinkSpec{
		"": {"default", ""}, "default": {"default", ""}, "null": {"null", ""}, "wav:a:b": {"wav", "a:b"}, "raw:-": {"raw", "-"},
		"alsa": {"alsa", ""}, "alsa:hw:0,1": {"alsa", "hw:0,1"}, "pulse:x": {"pulse", "x"},
	} {
		if got, err := parseSink(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"wav", "wav:", "raw", "null:x", "default:", "mp3:x", ":", " "} {
		if _, err := parseSink(s); !errors.Is(err, ErrSink) {
			t.Errorf("%q was taken: %v", s, err)
		}
	}
}

// testLatency bears a machine that has other things to do.
const testLatency = 600 * time.Millisecond

// opener opens a sink of one spec at one rate.
func opener(spec sinkSpec, rate int, paced bool) func(context.Context) (sinktest.Sink, error) {
	return func(ctx context.Context) (sinktest.Sink, error) {
		return spec.open(ctx, sinkWant{rate: rate, latency: testLatency, paced: paced, expect: -1})
	}
}

func TestFileSinks(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	t.Run("raw", func(t *testing.T) {
		sinktest.Run(t, sinktest.Case{Open: opener(sinkSpec{"raw", raw}, 44100, false), Rate: 44100, Heard: func() []byte { return content(t, raw) }})
	})
	path := filepath.Join(dir, "wav")
	t.Run("wav", func(t *testing.T) {
		sinktest.Run(t, sinktest.Case{Open: opener(sinkSpec{"wav", path}, 48000, false), Rate: 48000, Heard: func() []byte {
			b := content(t, path)
			info, err := wav.Parse(bytes.NewReader(b), int64(len(b)))
			if err != nil || info.Frames != 24000+48321 || info.Rate != 48000 || info.Channels != Channels {
				t.Fatalf("%+v %v", info, err)
			}
			return b[info.Data.Off:]
		}})
	})
	t.Run("null", func(t *testing.T) {
		sinktest.Run(t, sinktest.Case{Open: opener(sinkSpec{"null", ""}, 44100, false), Rate: 44100})
	})
	t.Run("null, paced", func(t *testing.T) {
		sinktest.Run(t, sinktest.Case{Open: opener(sinkSpec{"null", ""}, 44100, true), Rate: 44100, Card: true, Latency: testLatency})
	})
	if _, err := opener(sinkSpec{"wav", filepath.Join(dir, "no", "such", "dir.wav")}, 44100, false)(t.Context()); err == nil {
		t.Error("a sink in no directory opened")
	}
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// alsaConf makes devices of alsa-lib's own: one that writes what it gets into a file.
func alsaConf(t *testing.T, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "asound.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ALSA_CONFIG_PATH", path)
}

func TestALSA(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.raw")
	alsaConf(t, fmt.Sprintf("pcm_type.x {}\npcm.nil { type null }\npcm.out { type file slave.pcm nil file %q format raw }\n", out))
	for _, rate := range []int{44100, 48000} {
		// Nothing behind it has a pace: it is a file that libasound writes.
		sinktest.Run(t, sinktest.Case{Open: opener(sinkSpec{"alsa", "out"}, rate, false), Rate: rate, Heard: func() []byte { return content(t, out) }})
	}
}

func TestALSAWithoutACard(t *testing.T) {
	alsaConf(t, "pcm.nothing { type hw card 31 }\n")
	if _, err := (sinkSpec{"alsa", "nothing"}).open(t.Context(), sinkWant{rate: 44100, latency: defaultLatency, paced: false, expect: -1}); err == nil {
		t.Error("a card that is not there opened")
	}
	t.Setenv("PULSE_SERVER", "unix:"+filepath.Join(t.TempDir(), "none"))
	if _, err := (sinkSpec{"default", ""}).open(t.Context(), sinkWant{rate: 44100, latency: defaultLatency, paced: false, expect: -1}); err == nil {
		t.Error("a default opened where there is neither server nor card")
	}
}

// punctual is a program that time does not wait for: a sound card would be so,
// whatever else the machine has to do. That takes root; others hope.
func punctual(program string, args ...string) *exec.Cmd {
	if chrt, err := exec.LookPath("chrt"); err == nil && os.Geteuid() == 0 {
		return exec.Command(chrt, append([]string{"--rr", "1", program}, args...)...)
	}
	return exec.Command(program, args...)
}

// pulseServer runs a sound server with a card of its own that drops all, and returns how to stop it.
func pulseServer(t *testing.T, dir string, rate int) (stop func()) {
	t.Helper()
	sock := filepath.Join(dir, "sock")
	cmd := punctual("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-target=file:"+filepath.Join(dir, "log"),
		"-L", "module-native-protocol-unix socket="+sock+" auth-anonymous=1",
		"-L", fmt.Sprintf("module-null-sink sink_name=cap rate=%d channels=2 format=s16le", rate))
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start pulseaudio: %v", err)
	}
	ended := false
	stop = func() {
		if !ended {
			ended = true
			cmd.Process.Kill()
			cmd.Wait()
			os.Remove(sock)
		}
	}
	t.Cleanup(stop)
	t.Setenv("PULSE_SERVER", "unix:"+sock)
	t.Setenv("HOME", dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	until(t, func() bool { _, err := os.Stat(sock); return err == nil })
	until(t, func() bool { return exec.Command("pactl", "info").Run() == nil })
	return stop
}

// until polls for what another process does.
func until(t *testing.T, ok func() bool) {
	t.Helper()
	tick, late := time.NewTicker(20*time.Millisecond), time.After(10*time.Second)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("waited 10 s in vain")
		}
	}
}

// monitor hears what a sound server's card gets, from now on.
func monitor(t *testing.T, dir string, rate int) (heard func() []byte) {
	t.Helper()
	out, err := os.CreateTemp(dir, "heard")
	if err != nil {
		t.Fatal(err)
	}
	rec := punctual("parec", "-d", "cap.monitor", "--raw", "--format=s16le", fmt.Sprint("--rate=", rate), "--channels=2", "--latency-msec=20")
	rec.Stdout = out
	if err := rec.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rec.Process.Kill(); rec.Wait() })
	size := func() int64 { st, _ := out.Stat(); return st.Size() }
	until(t, func() bool { return size() > 0 })
	return func() []byte {
		was := size()
		until(t, func() bool { return size() > was+int64(2*rate) }) // half a second, which it may be behind
		return content(t, out.Name())
	}
}

// A sound server is given its card's own rate, and all that a sink promises.
func TestPulse(t *testing.T) {
	dir := t.TempDir()
	pulseServer(t, dir, 48000)
	heard := monitor(t, dir, 48000)
	from := 0
	sinktest.Run(t, sinktest.Case{
		Open: func(ctx context.Context) (sinktest.Sink, error) {
			from = len(heard())
			return opener(sinkSpec{"pulse", ""}, 44100, false)(ctx)
		},
		Rate: 48000, Card: true, Latency: testLatency, Heard: func() []byte { return heard()[from:] },
	})
}

// libasound in front of a sound server: a card with a pace of its own.
func TestALSAOverPulse(t *testing.T) {
	dir := t.TempDir()
	pulseServer(t, dir, 44100)
	alsaConf(t, fmt.Sprintf("pcm_type.pulse { lib /usr/lib/x86_64-linux-gnu/alsa-lib/libasound_module_pcm_pulse.so }\npcm.x { type pulse server %q device cap }\n", os.Getenv("PULSE_SERVER")))
	if _, err := os.Stat("/usr/lib/x86_64-linux-gnu/alsa-lib/libasound_module_pcm_pulse.so"); err != nil {
		t.Skip("libasound2-plugins is not installed")
	}
	heard := monitor(t, dir, 44100)
	from := 0
	sinktest.Run(t, sinktest.Case{
		Open: func(ctx context.Context) (sinktest.Sink, error) {
			from = len(heard())
			return opener(sinkSpec{"alsa", "x"}, 44100, false)(ctx)
		},
		Rate: 44100, Card: true, Latency: testLatency, Loses: 2205, // the plugin begins before it has sound
		Heard: func() []byte { return heard()[from:] },
	})
}

// A flush gives back what the clock has not reached, to the frame: a cut goes on from there.
func TestFlushToTheFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPaced(t.Context(), nullSink{rate: 44100}, time.Second)
		if err := s.Write(make([]float32, 10_000*Channels)); err != nil {
			t.Fatal(err)
		}
		<-time.After(100 * time.Millisecond)
		if d, n := s.Delay(), s.Flush(); d != 5590 || n != d || s.Delay() != 0 {
			t.Errorf("%d frames to be heard, %d dropped, then %d; want 5590 and none", d, n, s.Delay())
		}
	})
}
