package daemon

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/player"
)

// ctl drives the loudspeaker's playback, and answers with the state after.
func (d *Daemon) ctl(ctx context.Context, req CtlRequest, _ func(Event)) (Sound, error) {
	p := d.sound.speaker()
	if req.Do == "block" || req.Do == "unblock" {
		return d.setBlocked(ctx, p, req)
	}
	if req.Do == "volume" {
		v, err := d.saveVolume(req.Volume)
		if err != nil {
			return Sound{}, err
		}
		req.Volume = v
	}
	if p == nil {
		if req.Do == "now" || req.Do == "volume" {
			return d.stopped(), nil
		}
		return Sound{}, &Error{Kind: Failed, Message: "nothing is playing; start it: playnode play --detach"}
	}
	var st player.State
	var err error
	switch req.Do {
	case "now":
		st = p.State()
	case "next":
		st, err = p.Next(ctx)
	case "prev":
		st, err = p.Prev(ctx)
	case "pause":
		st, err = p.Pause(ctx)
	case "resume":
		st, err = p.Resume(ctx)
	case "seek":
		st, err = p.Seek(ctx, req.At)
	case "volume":
		st, err = p.SetVolume(req.Volume)
	case "stop":
		st, err = p.Stop(ctx)
		d.kept("forget what played", d.sound.rows.Delete(onRow))
	default:
		return Sound{}, usage("%q is none of next, prev, pause, resume, stop, seek, volume, block, unblock, now", req.Do)
	}
	if err != nil && !errors.Is(err, player.ErrStopped) {
		return Sound{}, err
	}
	return d.sound.state(st), nil
}

// saveVolume sets what loudspeakers begin with, and says what that is below
// the ceiling.
func (d *Daemon) saveVolume(v int) (int, error) {
	if v < 0 || v > 100 {
		return 0, usage("a volume is from 0 to 100")
	}
	v = min(v, d.repo.Config.VolumeCeiling)
	d.sound.mu.Lock()
	d.sound.saved = v
	d.sound.mu.Unlock()
	d.kept("remember the volume", d.sound.rows.Put(volumeRow, []byte(strconv.Itoa(v))))
	return v, nil
}

// setBlocked keeps a track from ever being played here, or lets it again.
func (d *Daemon) setBlocked(ctx context.Context, p *playing, req CtlRequest) (Sound, error) {
	text := req.Track
	if text == "now" && p != nil {
		text = p.State().CID
	}
	c, err := cid.Decode(text)
	if err != nil {
		return Sound{}, usage("%q is no track's CID; playnode ctl now shows that of the one that is heard", text)
	}
	d.sound.mu.Lock()
	if req.Do == "block" {
		d.sound.block[c.String()] = true
	} else {
		delete(d.sound.block, c.String())
	}
	d.sound.mu.Unlock()
	key := blockRow + c.String()
	if req.Do == "block" {
		err = d.sound.rows.Put(key, []byte(d.now().UTC().Format(time.RFC3339)))
	} else {
		err = d.sound.rows.Delete(key)
	}
	d.kept("remember what is blocked", err)
	if p == nil {
		return d.stopped(), nil
	}
	st, err := p.Unwanted(ctx)
	if err != nil && !errors.Is(err, player.ErrStopped) {
		return Sound{}, err
	}
	return d.sound.state(st), nil
}

// sinks are the loudspeakers here.
func (d *Daemon) sinks(ctx context.Context, _ struct{}, _ func(Event)) ([]Sink, error) {
	out := []Sink{}
	for _, s := range player.Devices(ctx) {
		out = append(out, Sink{Sink: s.Sink, About: s.About, Rate: s.Rate, Default: s.Default})
	}
	return out, nil
}
