package daemon

import (
	"context"

	"playnode/manifests"
	"playnode/player"
)

// OpListen hears the set that a playlist has on air, and nothing else, and ends
// with it.
const OpListen Op[ListenRequest, Played] = "listen"

// ListenRequest is how a set is heard. See the command listen for the fields.
type ListenRequest struct {
	// Play says what, and where to; what is about tracks has no effect.
	Play PlayRequest `json:"play"`
	// Wait waits for a set to go on air, and for the playlist.
	Wait bool `json:"wait,omitempty"`
}

// Reception is how a set is heard.
type Reception struct {
	Set  string `json:"set"`
	Text string `json:"text,omitempty"`
	// LagMs is how long ago what is heard was played, by the DJ's clock and
	// this box's, and 0 where that is Recorded; BufferMs how much more of it is
	// here, TargetMs how much is waited for before it is heard.
	LagMs    int64 `json:"lagMs"`
	Recorded bool  `json:"recorded,omitempty"`
	BufferMs int64 `json:"bufferMs"`
	TargetMs int64 `json:"targetMs"`
	// Missing counts the segments that were not here in time.
	Missing int64 `json:"missing"`
}

func receptionOf(r *player.Reception) *Reception {
	if r == nil {
		return nil
	}
	lag := r.Lag
	if r.Recorded {
		lag = 0
	}
	return &Reception{
		Set: r.Set, Text: r.Text, LagMs: lag.Milliseconds(), Recorded: r.Recorded, BufferMs: r.Buffer.Milliseconds(), TargetMs: r.Target.Milliseconds(), Missing: r.Missing,
	}
}

func (d *Daemon) listen(ctx context.Context, req ListenRequest, emit func(Event)) (Played, error) {
	if req.Play.Name == "" {
		return Played{}, usage("listen to whom: NAME, NAME/P or a link")
	}
	n, err := d.ready(ctx, &req.Play)
	if err != nil {
		return Played{}, err
	}
	req.Play.Once, req.Play.Detach = false, false
	if manifests.IsOpenLink(req.Play.Name) {
		return d.listenOpen(ctx, n, req, emit)
	}
	return d.playNow(ctx, n, req.Play, emit, func(r player.Request, tell func(player.Event)) (*player.Playback, error) {
		r.Live, r.Wait = player.OnlySets, req.Wait
		return n.player.Open(r, tell)
	})
}
