package binary

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Noise fills a directory with WAV files of size bytes of sound in all, at most
// 5 MiB each, the same every time. Nothing of them compresses, and no two
// blocks are alike.
func Noise(dir string, size int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make noise: %w", err)
	}
	const each = 5 << 20
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := int64(0); i*each < size; i++ {
		s := Sound{44100, make([]int16, min(each, size-i*each)/4*2)}
		for j := range s.PCM {
			s.PCM[j] = int16(rnd.Uint32()) >> 3
		}
		if err := s.WriteWAV(filepath.Join(dir, fmt.Sprintf("%03d.wav", i))); err != nil {
			return err
		}
	}
	return nil
}
