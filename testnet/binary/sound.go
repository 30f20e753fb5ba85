package binary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Sound is 16-bit stereo PCM, interleaved.
type Sound struct {
	Rate int
	PCM  []int16
}

// Frames counts stereo frames.
func (s Sound) Frames() int { return len(s.PCM) / 2 }

// Cut returns the frames from first up to end.
func (s Sound) Cut(first, end int) Sound { return Sound{s.Rate, s.PCM[2*first : 2*end]} }

// raw are the samples as s16le.
func (s Sound) raw() []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, s.PCM)
	return b.Bytes()
}

// WriteWAV writes a canonical RIFF file.
func (s Sound) WriteWAV(path string) error {
	raw := s.raw()
	head := []byte("RIFF----WAVEfmt ")
	le := binary.LittleEndian
	le.PutUint32(head[4:], uint32(36+len(raw)))
	head = le.AppendUint32(head, 16)
	head = le.AppendUint16(head, 1)
	head = le.AppendUint16(head, 2)
	head = le.AppendUint32(head, uint32(s.Rate))
	head = le.AppendUint32(head, uint32(4*s.Rate))
	head = le.AppendUint16(head, 4)
	head = le.AppendUint16(head, 16)
	head = append(head, "data"...)
	head = le.AppendUint32(head, uint32(len(raw)))
	if err := os.WriteFile(path, append(head, raw...), 0o644); err != nil {
		return fmt.Errorf("write wav: %w", err)
	}
	return nil
}

// ReadWAV reads what playnode promises to write: RIFF, format 1, s16le, two
// channels, a canonical header whose sizes are right.
func ReadWAV(path string) (Sound, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Sound{}, fmt.Errorf("read wav: %w", err)
	}
	le := binary.LittleEndian
	if len(b) < 44 || string(b[:4]) != "RIFF" || string(b[8:16]) != "WAVEfmt " || string(b[36:40]) != "data" {
		return Sound{}, errors.New("read wav: not a canonical header")
	}
	if le.Uint32(b[4:]) != uint32(len(b)-8) || le.Uint32(b[40:]) != uint32(len(b)-44) {
		return Sound{}, fmt.Errorf("read wav: sizes %d and %d in a file of %d", le.Uint32(b[4:]), le.Uint32(b[40:]), len(b))
	}
	if le.Uint16(b[20:]) != 1 || le.Uint16(b[22:]) != 2 || le.Uint16(b[34:]) != 16 {
		return Sound{}, errors.New("read wav: not 16-bit stereo of format 1")
	}
	return Sound{int(le.Uint32(b[24:])), samples(b[44:])}, nil
}

func samples(raw []byte) []int16 {
	pcm := make([]int16, len(raw)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return pcm
}

// Encode writes s to dir as name with the extension of its codec, which is
// "wav", "flac", or "mp3" with further arguments for LAME. The title goes into
// the file's tags, except a WAV's.
func (s Sound) Encode(dir, name, title, codec string, lame ...string) (string, error) {
	path := filepath.Join(dir, name+"."+codec)
	var cmd *exec.Cmd
	switch codec {
	case "wav":
		return path, s.WriteWAV(path)
	case "flac":
		cmd = exec.Command("flac", "--silent", "--force", "-T", "TITLE="+title, "--force-raw-format", "--endian=little",
			"--sign=signed", "--channels=2", "--bps=16", fmt.Sprint("--sample-rate=", s.Rate), "-o", path, "-")
	case "mp3":
		args := append([]string{"--silent"}, lame...)
		args = append(args, "--tt", title, "-r", "-s", fmt.Sprint(float64(s.Rate)/1000), "--resample", fmt.Sprint(float64(s.Rate)/1000), "--bitwidth", "16", "-", path)
		cmd = exec.Command("lame", args...)
	default:
		return "", fmt.Errorf("encode %s: no codec %q", name, codec)
	}
	cmd.Stdin = bytes.NewReader(s.raw())
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("encode %s: %w: %s", path, err, out)
	}
	return path, nil
}

// Decode has somebody else's decoder read a file: flac, mpg123 with its gapless
// trimming, or for all else ffmpeg.
func Decode(path string, rate int) (Sound, error) {
	var cmd *exec.Cmd
	switch filepath.Ext(path) {
	case ".flac":
		cmd = exec.Command("flac", "--silent", "--decode", "--force-raw-format", "--endian=little", "--sign=signed", "--stdout", path)
	case ".mp3":
		cmd = exec.Command("mpg123", "-q", "--gapless", "--stereo", "-e", "s16", "-s", path)
	default:
		cmd = exec.Command("ffmpeg", "-v", "error", "-i", path, "-f", "s16le", "-ac", "2", "-ar", fmt.Sprint(rate), "-")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		return Sound{}, fmt.Errorf("decode %s: %w: %s", path, err, stderr.Bytes())
	}
	return Sound{rate, samples(raw)}, nil
}
