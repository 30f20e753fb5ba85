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
	"time"

	"playnode/internal/audio/pcm"
	"playnode/internal/audio/wav"
)

// ramp is stereo sound whose every int16 is another than its neighbours'.
func ramp(frames int) []float32 {
	out := make([]float32, frames*Channels)
	for i := range out {
		out[i] = float32(int16(i*7919+13)) / 32768
	}
	return out
}

func s16(samples []float32) []byte {
	b := make([]byte, 2*len(samples))
	pcm.S16(b, samples)
	return b
}

// push writes samples in pieces of odd sizes, drains and closes.
func push(t *testing.T, k Sink, samples []float32) {
	t.Helper()
	for i := 0; len(samples) > 0; i++ {
		n := min(len(samples), Channels*(1+(i*1237)%blockFrames))
		if err := k.Write(samples[:n]); err != nil {
			t.Fatal(err)
		}
		samples = samples[n:]
	}
	if err := k.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

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

func TestFileSinks(t *testing.T) {
	src := ramp(50001)
	dir := t.TempDir()
	for _, kind := range []string{"raw", "wav"} {
		path := filepath.Join(dir, kind)
		for _, expect := range []int64{50001, -1} {
			k, err := sinkSpec{kind, path}.open(t.Context(), 44100, false, expect)
			if err != nil {
				t.Fatal(err)
			}
			if k.Rate() != 44100 {
				t.Errorf("rate %d", k.Rate())
			}
			push(t, k, src)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if kind == "wav" {
				info, err := wav.Parse(bytes.NewReader(b), int64(len(b)))
				if err != nil || info.Frames != 50001 || info.Rate != 44100 || info.Channels != Channels {
					t.Fatalf("%+v %v", info, err)
				}
				b = b[info.Data.Off:]
			}
			if !bytes.Equal(b, s16(src)) {
				t.Errorf("%s expecting %d: other samples", kind, expect)
			}
		}
	}
	if _, err := (sinkSpec{"wav", filepath.Join(dir, "no", "such", "dir.wav")}).open(t.Context(), 44100, false, 1); err == nil {
		t.Error("a sink in no directory opened")
	}
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

func TestALSAIsBitExact(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.raw")
	alsaConf(t, fmt.Sprintf("pcm_type.x {}\npcm.nil { type null }\npcm.out { type file slave.pcm nil file %q format raw }\n", out))
	for _, rate := range []int{44100, 48000} {
		src := ramp(3*rate + 17)
		k, err := sinkSpec{"alsa", "out"}.open(t.Context(), rate, false, -1)
		if err != nil {
			t.Fatal(err)
		}
		if k.Rate() != rate {
			t.Fatalf("rate %d, want %d", k.Rate(), rate)
		}
		push(t, k, src)
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		want := s16(src)
		if len(b) < len(want) || !bytes.Equal(b[:len(want)], want) || len(bytes.Trim(b[len(want):], "\x00")) > 0 {
			t.Errorf("%d Hz: %d bytes came out, %d went in", rate, len(b), len(want))
		}
	}
}

func TestALSAWithoutACard(t *testing.T) {
	alsaConf(t, "pcm.nothing { type hw card 31 }\n")
	if _, err := (sinkSpec{"alsa", "nothing"}).open(t.Context(), 44100, false, -1); err == nil {
		t.Error("a card that is not there opened")
	}
	t.Setenv("PULSE_SERVER", "unix:"+filepath.Join(t.TempDir(), "none"))
	if _, err := (sinkSpec{"default", ""}).open(t.Context(), 44100, false, -1); err == nil {
		t.Error("a default opened where there is neither server nor card")
	}
}

// pulseServer runs a sound server with a card of its own that drops all, and returns how to stop it.
func pulseServer(t *testing.T, dir string, rate int) (stop func()) {
	t.Helper()
	sock := filepath.Join(dir, "sock")
	cmd := exec.Command("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-target=file:"+filepath.Join(dir, "log"),
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

// Every sample arrives at the card as it was, at the card's own rate.
func TestPulseIsBitExact(t *testing.T) {
	dir := t.TempDir()
	pulseServer(t, dir, 48000)
	out, err := os.Create(filepath.Join(dir, "heard"))
	if err != nil {
		t.Fatal(err)
	}
	rec := exec.Command("parec", "-d", "cap.monitor", "--raw", "--format=s16le", "--rate=48000", "--channels=2")
	rec.Stdout = out
	if err := rec.Start(); err != nil {
		t.Fatal(err)
	}
	size := func() int64 { st, _ := out.Stat(); return st.Size() }
	until(t, func() bool { return size() > 0 })

	k, err := sinkSpec{"pulse", ""}.open(t.Context(), 44100, false, -1)
	if err != nil {
		t.Fatal(err)
	}
	if k.Rate() != 48000 {
		t.Fatalf("rate %d, the card has 48000", k.Rate())
	}
	src := ramp(2*48000 + 321)
	push(t, k, append(make([]float32, Channels*48000), src...)) // the monitor misses the first moments
	was := size()
	until(t, func() bool { return size() > was+4*48000 })
	rec.Process.Kill()
	rec.Wait()
	heard, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(heard, s16(src)) {
		t.Errorf("%d bytes were heard, and not what was played", len(heard))
	}
}

// A server that dies under us is found again, and Play's end ends a wait for it.
func TestPulseComesBack(t *testing.T) {
	dir := t.TempDir()
	stop := pulseServer(t, dir, 44100)
	ctx, cancel := context.WithCancel(t.Context())
	k, err := sinkSpec{"pulse", "cap"}.open(ctx, 44100, false, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Write(ramp(44100)); err != nil {
		t.Fatal(err)
	}
	stop()
	done := make(chan error, 1)
	go func() { done <- k.Write(ramp(3 * 44100)) }()
	stop = pulseServer(t, dir, 44100)
	if err := <-done; err != nil {
		t.Fatalf("after the server came back: %v", err)
	}
	stop()
	go func() { done <- k.Write(ramp(3 * 44100)) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled write says %v", err)
	}
	k.Close()
}

// A paced sink keeps the clock's pace: never ahead by more than it says.
func TestPacedSink(t *testing.T) {
	k, err := sinkSpec{"null", ""}.open(t.Context(), 48000, true, -1)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	push(t, k, make([]float32, Channels*48000/2))
	if d := time.Since(begun); d < 500*time.Millisecond-pacedAhead-20*time.Millisecond {
		t.Errorf("half a second went in %s", d)
	}
}
