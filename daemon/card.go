package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/manifests"
	"playnode/node"
	"playnode/player"
	"playnode/publisher"
)

// Operations of the public card.
const (
	OpCardSet     Op[CardRequest, Card]            = "card-set"
	OpCardShow    Op[CardShowRequest, Card]        = "card-show"
	OpCardPreview Op[CardPreviewRequest, Previews] = "card-preview"
	OpPreview     Op[PreviewRequest, Played]       = "preview"
)

// CardRequest changes the card; what is absent stays as it is.
type CardRequest struct {
	DJName *string `json:"djName,omitempty"`
	About  *string `json:"about,omitempty"`
	// Picture is a file's bytes; empty for none.
	Picture  *[]byte `json:"picture,omitempty"`
	Playlist string  `json:"playlist,omitempty"`
	Words    *string `json:"words,omitempty"`
	Titles   *bool   `json:"titles,omitempty"`
}

// CardShowRequest names a followed DJ by name or link; nobody for one's own.
type CardShowRequest struct {
	Name string `json:"name,omitempty"`
}

// Card is what a DJ says in public.
type Card struct {
	Name      string         `json:"name"`
	DJ        string         `json:"dj"`
	DJName    string         `json:"djName"`
	About     string         `json:"about"`
	Picture   []byte         `json:"picture"` // JPEG
	Playlists []CardPlaylist `json:"playlists"`
	// Left counts the tracks that found no room on one's own card.
	Left int `json:"left,omitempty"`
}

// CardPlaylist is what the card says of one playlist.
type CardPlaylist struct {
	Name   string      `json:"name"`
	Words  string      `json:"words"`
	Tracks []CardTrack `json:"tracks"`
}

// CardTrack is a track with a public title or preview.
type CardTrack struct {
	CID     string       `json:"cid"`
	Title   string       `json:"title"`
	Artist  string       `json:"artist"`
	Preview *PreviewFile `json:"preview"`
}

// PreviewFile is a plain file that anyone may read: ipfs cat CID.
type PreviewFile struct {
	CID   string `json:"cid"`
	Size  uint64 `json:"size"`
	Codec string `json:"codec"`
}

// CardPreviewRequest has previews made of a playlist's tracks, or taken off.
type CardPreviewRequest struct {
	Playlist string         `json:"playlist"`
	For      time.Duration  `json:"for,omitempty"`
	From     *time.Duration `json:"from,omitempty"`
	Off      bool           `json:"off,omitempty"`
}

// Previews is what was made.
type Previews struct {
	Playlist string `json:"playlist"`
	Made     int    `json:"made"`
	// Codecs counts the playlist's previews, by codec; Bytes is their sizes.
	Codecs  map[string]int `json:"codecs"`
	Bytes   uint64         `json:"bytes"`
	Skipped []Skipped      `json:"skipped"`
	// Why says why there is FLAC where Opus would be smaller.
	Why  string `json:"why,omitempty"`
	Left int    `json:"left,omitempty"`
}

// PreviewRequest plays the previews of NAME or NAME/P, or of one track.
type PreviewRequest struct {
	PlayRequest
	Track string `json:"track,omitempty"`
}

func (d *Daemon) cardSet(ctx context.Context, req CardRequest, emit func(Event)) (Card, error) {
	n, err := d.net()
	if err != nil {
		return Card{}, err
	}
	if err := n.publisher.SetCard(ctx, publisher.CardEdit{
		Name: req.DJName, About: req.About, Picture: req.Picture, Playlist: req.Playlist, Words: req.Words, Titles: req.Titles,
	}); err != nil {
		return Card{}, terms(err)
	}
	d.unserved(emit)
	return d.cardShow(ctx, CardShowRequest{}, emit)
}

// unserved says that what was committed is nowhere to be had yet.
func (d *Daemon) unserved(emit func(Event)) {
	if !d.opt.Serve {
		emit(Event{Note: "committed here; nothing is served until the daemon runs: playnode daemon"})
	}
}

func (d *Daemon) cardPreview(ctx context.Context, req CardPreviewRequest, emit func(Event)) (Previews, error) {
	n, err := d.net()
	if err != nil {
		return Previews{}, err
	}
	var t *publisher.ClipTerms
	if !req.Off {
		t = &publisher.ClipTerms{For: req.For, From: req.From}
	}
	defer n.follow.Hold()() // no row names a clip before it is whole
	got, err := n.publisher.SetClips(ctx, req.Playlist, t, func(done, total int64) {
		emit(Event{Progress: &Progress{What: "previews", Done: done, Total: total, Unit: "tracks"}})
	})
	if err != nil {
		return Previews{}, terms(err)
	}
	d.unserved(emit)
	out := Previews{Playlist: req.Playlist, Made: got.Made, Codecs: got.Codecs, Bytes: got.Bytes, Skipped: []Skipped{}, Why: got.Why, Left: got.Left}
	for _, s := range got.Skipped {
		out.Skipped = append(out.Skipped, Skipped{Path: s.Path, Why: s.Err.Error()})
	}
	return out, nil
}

// cardShow is one's own card, or a followed DJ's: of her newest version that
// was verified, from disk alone.
func (d *Daemon) cardShow(_ context.Context, req CardShowRequest, _ func(Event)) (Card, error) {
	n, err := d.net()
	if err != nil {
		return Card{}, err
	}
	if req.Name == "" {
		own, err := n.publisher.Card()
		if err != nil {
			return Card{}, err
		}
		lists, err := n.publisher.Playlists()
		if err != nil {
			return Card{}, err
		}
		tracks := map[[32]byte]cid.Cid{}
		for _, l := range lists {
			for _, t := range l.Tracks {
				tracks[manifests.Digest(t.CID)] = t.CID
			}
		}
		out := Card{Name: string(d.keys.Name()), DJ: d.keys.DJ().String(), Left: own.Left}
		out.say(&own.Card)
		for i, s := range own.Sels {
			out.Playlists = append(out.Playlists, cardPlaylist(own.Labels[i], s, tracks))
		}
		return out, nil
	}
	c, err := d.catalogue(n, req.Name)
	if err != nil {
		return Card{}, err
	}
	return cardOf(c), nil
}

// say takes over what is said of the DJ herself.
func (k *Card) say(c *manifests.Card) {
	k.DJName, k.About, k.Picture, k.Playlists = c.Name, c.About, c.Picture, []CardPlaylist{}
}

// cardOf is a followed DJ's card; of one that says nothing an empty one.
func cardOf(c *follow.Catalogue) Card {
	out := Card{Name: c.Name.String(), DJ: c.DJ.String(), Playlists: []CardPlaylist{}}
	if c.Card == nil {
		return out
	}
	out.say(c.Card)
	for _, s := range c.Selections {
		tracks := make(map[[32]byte]cid.Cid, len(s.Entries))
		for _, e := range s.Entries {
			tracks[manifests.Digest(e.Track)] = e.Track
		}
		if says := c.Card.Selection(s.ID); says.Words != "" || len(says.Tracks) > 0 {
			out.Playlists = append(out.Playlists, cardPlaylist(s.Label, says, tracks))
		}
	}
	return out
}

// cardPlaylist leaves out what the selection does not have (any more).
func cardPlaylist(label string, s manifests.CardSel, tracks map[[32]byte]cid.Cid) CardPlaylist {
	out := CardPlaylist{Name: label, Words: s.Words, Tracks: []CardTrack{}}
	for _, t := range s.Tracks {
		c, ok := tracks[t.Track]
		if !ok {
			continue
		}
		x := CardTrack{CID: c.String()}
		if t.Title != nil {
			x.Title, x.Artist = t.Title.Title, t.Title.Artist
		}
		if t.Clip != nil {
			x.Preview = &PreviewFile{CID: t.Clip.File.String(), Size: t.Clip.Size, Codec: t.Clip.Codec}
		}
		out.Tracks = append(out.Tracks, x)
	}
	return out
}

// OnOffer is a playlist as a venue that is still choosing sees it.
type OnOffer struct {
	Name     string `json:"name"`
	Words    string `json:"words"`
	Tracks   int    `json:"tracks"`
	Previews int    `json:"previews"`
	// Offer is what a lease costs, null where nothing is on offer.
	Offer *Offered `json:"offer"`
	// Leased tells whether this box has a lease of it now.
	Leased bool `json:"leased"`
}

// onOffer lists a catalogue's playlists, from what is held alone.
func (d *Daemon) onOffer(n *network, c *follow.Catalogue) []OnOffer {
	out := []OnOffer{}
	for i := range c.Selections {
		s := &c.Selections[i]
		x := OnOffer{Name: s.Label, Tracks: len(s.Entries)}
		if c.Card != nil {
			says := c.Card.Selection(s.ID)
			x.Words = says.Words
			for _, t := range says.Tracks {
				if t.Clip != nil {
					x.Previews++
				}
			}
		}
		if _, o, err := d.offerOf(context.Background(), n.node.Read, c, s); err == nil {
			x.Offer = &Offered{
				Playlist: s.Label, Price: Price(o.Price), Per: o.Per, Min: o.Min, Max: o.Max, Grace: o.Grace, Devices: o.Devices,
				Until: time.Unix(o.Exp, 0).UTC(),
			}
		}
		for _, l := range d.venue.Leases() {
			if l.DJ == c.DJ && l.Sel == s.ID && d.held(l).State == "active" {
				x.Leased = true
			}
		}
		out = append(out, x)
	}
	return out
}

// catalogue is a followed name's newest version.
func (d *Daemon) catalogue(n *network, name string) (*follow.Catalogue, error) {
	l, err := manifests.ParseLink(name)
	if err != nil {
		return nil, usage("%v", err)
	}
	p, err := ipns.ParseName(string(l.Name))
	if err != nil {
		return nil, usage("%v", err)
	}
	c, err := n.follow.Newest(p)
	if err != nil {
		return nil, &Error{Kind: NotFound, Message: err.Error() + "; follow it first: playnode follow " + name, cause: err}
	}
	return c, nil
}

// preview plays previews: no lease is looked at.
func (d *Daemon) preview(ctx context.Context, req PreviewRequest, emit func(Event)) (Played, error) {
	n, err := d.net()
	if err != nil {
		return Played{}, err
	}
	if err := d.connect(ctx, n, req.Node.Peers); err != nil {
		d.log.Warn("connect", "err", err) // what is held plays all the same
	}
	req.Once, req.Detach = true, false
	out, err := d.playNow(ctx, n, req.PlayRequest, emit, func(r player.Request, tell func(player.Event)) (*player.Playback, error) {
		return n.player.OpenPreview(r, req.Track, tell)
	})
	if err == nil && out.Samples == 0 {
		err = fmt.Errorf("no preview could be played: %w", node.ErrNotFound)
	}
	if errors.Is(err, follow.ErrNotFound) {
		err = fmt.Errorf("%w; playnode card show %s tells what there is", err, req.Name)
	}
	return out, err
}
