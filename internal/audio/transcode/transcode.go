// Package transcode turns sound that no decoder of ours reads into FLAC, and samples into Opus, by an ffmpeg
// that is installed.
//
// What comes in: a file's bytes, hostile, and what they are; or samples. What goes out: a FLAC file in a
// directory of its own, which Close removes; or Opus in memory. What is trusted: ffmpeg, which is told the container and may open
// nothing but the one file; what it writes is read as hostile as any other file.
package transcode

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// ErrMissing says that no ffmpeg is installed.
var ErrMissing = errors.New("ffmpeg is not installed")

// File is what ffmpeg wrote. It must be closed.
type File struct {
	*os.File
	Size int64
	dir  string
}

// Close removes the file.
func (f *File) Close() error { return errors.Join(f.File.Close(), os.RemoveAll(f.dir)) }

// FLAC decodes the first sound of the size bytes of r, read by ffmpeg's demuxer, and writes it as FLAC:
// of 16 bits, or of the source's own where lossless says that it has such, of at most so many sample
// frames unless that is 0. It ends with ctx.
func FLAC(ctx context.Context, r io.ReaderAt, size int64, demuxer string, lossless bool, samples int64) (_ *File, err error) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, ErrMissing
	}
	dir, err := os.MkdirTemp("", "playnode-transcode-")
	if err != nil {
		return nil, fmt.Errorf("transcode: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out.flac")
	if err := write(ctx, in, io.NewSectionReader(r, 0, size)); err != nil {
		return nil, fmt.Errorf("transcode: %w", err)
	}
	args := []string{"-nostdin", "-v", "error", "-protocol_whitelist", "file", "-f", demuxer, "-i", in, "-map", "0:a:0", "-map_metadata", "-1", "-c:a", "flac", "-bitexact"}
	if !lossless {
		args = append(args, "-sample_fmt", "s16")
	}
	if samples > 0 {
		args = append(args, "-af", fmt.Sprintf("atrim=end_sample=%d", samples))
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, ffmpeg, append(args, out)...)
	cmd.Stderr = limited{&said}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		line, _, _ := bytes.Cut(bytes.TrimSpace(bytes.ReplaceAll(said.Bytes(), []byte(in+": "), nil)), []byte("\n"))
		return nil, fmt.Errorf("transcode by ffmpeg: %w: %s", err, line)
	}
	if err := os.Remove(in); err != nil {
		return nil, fmt.Errorf("transcode: %w", err)
	}
	f, err := os.Open(out)
	if err != nil {
		return nil, fmt.Errorf("transcode: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &File{f, st.Size(), dir}, nil
}

// write copies r into a file, unless ctx ends.
func write(ctx context.Context, path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for err == nil && ctx.Err() == nil {
		_, err = io.CopyN(f, r, 1<<20)
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, ctx.Err(), f.Close())
}

// limited keeps the beginning of what a program says.
type limited struct{ b *bytes.Buffer }

func (l limited) Write(p []byte) (int, error) {
	if n := 4096 - l.b.Len(); n > 0 {
		l.b.Write(p[:min(n, len(p))])
	}
	return len(p), nil
}

// Opus encodes interleaved samples at 48 kHz, of one or two channels, as Opus in Ogg at a bit rate a second,
// of at most so many bytes. It ends with ctx.
func Opus(ctx context.Context, samples []float32, channels, bits, most int) ([]byte, error) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, ErrMissing
	}
	raw := make([]byte, 4*len(samples))
	for i, x := range samples {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(x))
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, ffmpeg, "-nostdin", "-v", "error", "-protocol_whitelist", "pipe",
		"-f", "f32le", "-ar", "48000", "-ac", strconv.Itoa(channels), "-i", "pipe:0",
		"-map_metadata", "-1", "-c:a", "libopus", "-b:a", strconv.Itoa(bits), "-bitexact", "-f", "ogg", "pipe:1")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(raw), limited{&said}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("encode Opus: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("encode Opus: %w", err)
	}
	data, rerr := io.ReadAll(io.LimitReader(out, int64(most)+1))
	if len(data) > most {
		cmd.Process.Kill()
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(data) > most:
		return nil, fmt.Errorf("encode Opus: over %d bytes", most)
	case err != nil:
		line, _, _ := bytes.Cut(bytes.TrimSpace(said.Bytes()), []byte("\n"))
		return nil, fmt.Errorf("encode Opus by ffmpeg: %w: %s", err, line)
	case rerr != nil:
		return nil, fmt.Errorf("encode Opus by ffmpeg: %w", rerr)
	}
	return data, nil
}
