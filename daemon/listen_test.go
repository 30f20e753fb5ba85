package daemon

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"testing"
	"time"

	"playnode/ipns"
	"playnode/manifests"
	"playnode/player"
	"playnode/publisher"
)

// reel is a set that was recorded as it went out, and is brought at once.
type reel struct{ items []player.LiveItem }

func (r *reel) Record(_ context.Context, s manifests.Signed) error {
	l, err := manifests.DecodeLive(s.Payload.Data)
	r.items = append(r.items, player.LiveItem{Record: l})
	return err
}

func (r *reel) Segment(_ context.Context, s manifests.Signed, b manifests.Block) error {
	h, err := manifests.DecodeLiveHead(s.Payload.Data)
	r.items = append(r.items, player.LiveItem{Head: h, Sealed: b.Data})
	return err
}

func (r *reel) OnAir(ctx context.Context, _ ipns.Name, _ manifests.SelID) (player.Set, error) {
	if len(r.items) == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return r, nil
}

func (r *reel) Next(context.Context) (it player.LiveItem, err error) {
	if len(r.items) == 0 {
		return it, io.EOF
	}
	it, r.items = r.items[0], r.items[1:]
	return it, nil
}

func (r *reel) Close() error   { return nil }
func (r *reel) Recorded() bool { return false }

// quiet is a source of so many segments of silence, mp3 of 0.4 s each.
type quiet struct{ left int }

const quietFrames = 15 * 1152

func (q *quiet) Next(context.Context) (publisher.Cut, error) {
	if q.left--; q.left < 0 {
		return publisher.Cut{}, io.EOF
	}
	frame := append([]byte("\xff\xfb\x90\x00"), make([]byte, 413)...)
	return publisher.Cut{
		Init: &manifests.MediaInit{Codec: "mp3", Rate: 44100}, Len: quietFrames, Open: true, Text: "hush", Media: bytes.Repeat(frame, quietFrames/1152),
	}, nil
}

// Who listens hears the set that is brought, is told of its lag, and ends with it.
func TestListen(t *testing.T) {
	p := newPair(t, time.Hour)
	wav := filepath.Join(t.TempDir(), "out.wav")
	req := ListenRequest{Play: PlayRequest{Name: p.name + "/bar", Sink: "wav:" + wav}}
	_, err := Call(t.Context(), p.venue, OpListen, req, nil)
	wantKind(t, err, NotFound, wav)
	r := &reel{}
	if _, err := p.dj.opened.publisher.OnAir(t.Context(), &quiet{left: 2}, publisher.SetOptions{Playlist: "bar", Carrier: r}); err != nil {
		t.Fatal(err)
	}
	p.venue.stop()
	p.venue.sets = r
	p.venue.start(p.clock)
	var events []PlayEvent
	var now Sound
	got, err := Call(t.Context(), p.venue, OpListen, req, func(e Event) {
		events = append(events, *e.Play)
		if e.Play.Event == "live" {
			now = do(t, p.venue, OpCtl, CtlRequest{Do: "now"})
		}
	})
	if err != nil || got.Samples != 2*quietFrames {
		t.Errorf("%d samples, %v", got.Samples, err)
	}
	if len(events) != 5 || events[2].Event != "live" || len(events[2].Set) != 32 || events[2].Lag == nil || events[2].Title != "hush" || events[4].Event != "done" {
		t.Errorf("%+v", events)
	}
	if l := now.Live; l == nil || l.Text != "hush" || l.Set != events[2].Set || now.Title != "hush" || now.CID != "" {
		t.Errorf("now: %+v %+v", now, l)
	}
	without := ListenRequest{Play: PlayRequest{Name: p.name + "/nothing", Sink: "null"}}
	_, err = Call(t.Context(), p.venue, OpListen, without, nil)
	wantKind(t, err, NotFound, "")
}

// A box says which sets go by it.
func TestCarries(t *testing.T) {
	p := newPair(t, time.Hour)
	if c := do(t, p.dj, OpStatus, struct{}{}).Carries; c == nil || len(c) > 0 {
		t.Errorf("with nothing on air: %+v", c)
	}
	mouth := &mouthpiece{a: p.dj.opened.air}
	if _, err := p.dj.opened.publisher.OnAir(t.Context(), &quiet{left: 2}, publisher.SetOptions{Playlist: "bar", Carrier: mouth}); err != nil {
		t.Fatal(err)
	}
	if c := do(t, p.dj, OpStatus, struct{}{}).Carries; len(c) != 1 || len(c[0].Set) != 32 || c[0].Depth != -1 || c[0].Children != 0 {
		t.Errorf("on air: %+v", c)
	}
	mouth.set.Close()
	if c := do(t, p.dj, OpStatus, struct{}{}).Carries; len(c) > 0 {
		t.Errorf("off air: %+v", c)
	}
}
