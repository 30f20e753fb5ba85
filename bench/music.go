package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
)

// encode makes the tracks: the music, decoded by ffmpeg and encoded by LAME at
// 128 kbit/s, kept for the next run.
func encode(ctx context.Context, c Config) ([]string, error) {
	sources, err := filepath.Glob(filepath.Join(c.Music, "*.ogg"))
	if err != nil {
		return nil, err
	}
	if len(sources) < c.Tracks {
		return nil, fmt.Errorf("encode music: %s holds %d tracks of %d", c.Music, len(sources), c.Tracks)
	}
	if err := os.MkdirAll(c.Cache, 0o755); err != nil {
		return nil, err
	}
	files := make([]string, c.Tracks)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i, source := range sources[:c.Tracks] {
		title := strings.TrimSuffix(filepath.Base(source), ".ogg")
		files[i] = filepath.Join(c.Cache, title+".mp3")
		g.Go(func() error {
			if _, err := os.Stat(files[i]); err == nil {
				return nil
			}
			script := `ffmpeg -v error -i "$0" -f s16le -ac 2 -ar 44100 - | lame --silent -r -s 44.1 -b 128 --tt "$1" - "$2.part" && mv "$2.part" "$2"`
			out, err := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script, source, title, files[i]).CombinedOutput()
			if err != nil {
				return fmt.Errorf("encode %s: %w: %s", source, err, out)
			}
			return nil
		})
	}
	return files, g.Wait()
}
