package icecast_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"playnode/internal/audio/audiotest"
	"playnode/internal/audio/wav"
	"playnode/publisher/icecast"
)

// serve runs a server on loopback until the test ends.
func serve(t *testing.T, c icecast.Config) (s *icecast.Server, addr string) {
	t.Helper()
	if c.Password == "" {
		c.Password = "hackme"
	}
	s, err := icecast.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := icecast.Listen(t.Context(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Fatalf("it listens at %v, and was not told to", l.Addr())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String()
}

// music is a WAV file of so many seconds, and where other files may lie.
func music(t *testing.T, seconds float64) (path, dir string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "music.wav")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := int(seconds * 44100)
	w, err := wav.NewWriter(f, 44100, 2, int64(n))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(audiotest.Music(44100, 2, n, 1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

// program starts a program that is ended with the test.
func program(t *testing.T, in io.Reader, name string, args ...string) (cmd *exec.Cmd, out *bytes.Buffer) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed: on Linux scripts/test installs it", name)
	}
	cmd, out = exec.CommandContext(t.Context(), name, args...), new(bytes.Buffer)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// encoded is what ffmpeg makes of a file by these arguments, always the same.
func encoded(t *testing.T, path, args string) []byte {
	t.Helper()
	b, err := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-i", path}, strings.Fields(args)...), "-")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func accept(t *testing.T, s *icecast.Server) *icecast.Source {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	x, err := s.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// status is what curl gets for an answer.
func status(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("curl", append([]string{"-s", "-m", "20", "-o", os.DevNull, "-w", "%{http_code}"}, args...)...).Output()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return string(out)
}
