package testnet

import (
	"context"
	"fmt"
	"time"

	"playnode/daemon"
)

// LaptopReport is what was left after a DJ had gone at her word.
type LaptopReport struct {
	Venues int `json:"venues"`
	// Blocks is how many the DJ published, each held by Copies others when
	// she was told so; WordMs is from her command to the word.
	Blocks int   `json:"blocks"`
	Copies int   `json:"copies"`
	WordMs int64 `json:"wordMs"`
	// Joined is how many newcomers had everything, each with another venue
	// broken; Missing is how many tracks they lacked together.
	Joined  int `json:"joined"`
	Missing int `json:"missing"`
}

// laptopShut kills a DJ at the word "safe to close", and any one venue after.
func laptopShut(ctx context.Context, cfg RunConfig, dir string) (any, error) {
	c := &cast{program: cfg.Binary, dir: dir}
	defer c.leave()
	r := LaptopReport{Venues: max(cfg.Nodes, 3), Copies: 2}
	err := c.laptopShut(ctx, &r)
	if err == nil && (r.Joined != r.Venues || r.Missing > 0) {
		err = fmt.Errorf("%d of %d newcomers had everything; %d tracks were missing", r.Joined, r.Venues, r.Missing)
	}
	return r, err
}

func (c *cast) laptopShut(ctx context.Context, r *LaptopReport) error {
	files, err := c.files()
	if err != nil {
		return err
	}
	dj, djID, err := c.enter(ctx, "dj")
	if err != nil {
		return err
	}
	c.dj, c.name = dj, djID.Name
	if err := dj.start(ctx); err != nil {
		return err
	}
	var venues []*role
	peers := []string{dj.addr()}
	for i := range r.Venues {
		v, _, err := c.enter(ctx, fmt.Sprint("venue", i+1))
		if err != nil {
			return err
		}
		if err := v.start(ctx, peers...); err != nil {
			return err
		}
		venues, peers = append(venues, v), append(peers, v.addr())
	}
	// They follow before there is anything; the word is not to come early.
	if err := dj.must(ctx, nil, "publish", "--playlist", "bar", files[0]); err != nil {
		return err
	}
	for _, v := range venues {
		if err := v.must(ctx, nil, "follow", c.name); err != nil {
			return err
		}
	}
	begin := time.Now()
	var p daemon.Published
	if err := dj.must(ctx, &p, append([]string{"publish", "--playlist", "bar", "--wait-served", fmt.Sprint(r.Copies)}, files[1:]...)...); err != nil {
		return err
	}
	dj.kill() // at the word
	r.WordMs = time.Since(begin).Milliseconds()
	if p.Served == nil || !p.Served.Safe || p.Served.Seq != p.Seq {
		return fmt.Errorf("publish ended without the word: %+v", p.Served)
	}
	r.Blocks = p.Served.Blocks
	for i, broken := range venues {
		broken.kill()
		args := []string{"follow", c.name, "--once", "--timeout", "15s"}
		var others []string
		for _, v := range venues {
			if v != broken {
				others = append(others, v.addr())
				args = append(args, "--peer", v.addr())
			}
		}
		late, _, err := c.enter(ctx, fmt.Sprint("late", i+1))
		if err != nil {
			return err
		}
		var f daemon.Followed
		if err := late.must(ctx, &f, args...); err != nil {
			return fmt.Errorf("without the DJ and %s: %w", broken.name, err)
		}
		if f.Seq == p.Seq && f.Held == len(files) && f.Missing == 0 {
			r.Joined++
		}
		r.Missing += len(files) - f.Held
		if err := broken.start(ctx, others...); err != nil {
			return err
		}
	}
	return nil
}
