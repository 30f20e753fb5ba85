package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Op is one request that a Client carries, with its types. Its text is its
// name on the socket.
type Op[Req, Res any] string

// The operations. A result is the document that the command of the same name
// prints with --json.
const (
	OpID          Op[struct{}, Identity]        = "id"
	OpStatus      Op[struct{}, Status]          = "status"
	OpPublish     Op[PublishRequest, Published] = "publish"
	OpPlaylists   Op[struct{}, []Playlist]      = "playlists"
	OpPlaylist    Op[PlaylistRequest, Playlist] = "playlist"
	OpShare       Op[ShareRequest, Shared]      = "share"
	OpLeaseGrant  Op[GrantRequest, Granted]     = "lease-grant"
	OpLeaseImport Op[ImportRequest, Leased]     = "lease-import"
	OpLeaseRenew  Op[RenewRequest, []Granted]   = "lease-renew"
	OpLeaseRevoke Op[RevokeRequest, []Leased]   = "lease-revoke"
	OpLeases      Op[struct{}, []Leased]        = "leases"
	OpKeysArchive Op[struct{}, ArchiveKey]      = "keys-archive"
	OpFollow      Op[FollowRequest, Followed]   = "follow"
	OpUnfollow    Op[UnfollowRequest, struct{}] = "unfollow"
	OpFollows     Op[struct{}, []Followed]      = "follows"
	OpPlay        Op[PlayRequest, Played]       = "play"
	OpCtl         Op[CtlRequest, Sound]         = "ctl"
	OpSinks       Op[struct{}, []Sink]          = "sinks"
)

// Client runs operations, in a daemon over its socket or in this process.
// Safe for concurrent use.
type Client interface {
	// Do runs the operation named op. Each event is handed to emit, in
	// order, from one goroutine; a nil emit drops them. An error is an
	// *Error. Ending ctx ends the operation.
	Do(ctx context.Context, op string, req json.RawMessage, emit func(Event)) (json.RawMessage, error)
	// Remote tells whether a daemon does the work.
	Remote() bool
	Close() error
}

// Call runs op with its types.
func Call[Req, Res any](ctx context.Context, c Client, op Op[Req, Res], req Req, emit func(Event)) (Res, error) {
	var res Res
	in, err := json.Marshal(req)
	if err != nil {
		return res, fmt.Errorf("encode %s request: %w", op, err)
	}
	out, err := c.Do(ctx, string(op), in, emit)
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(out, &res); err != nil {
		return res, fmt.Errorf("decode %s result: %w", op, err)
	}
	return res, nil
}

// Event is what an operation tells while it works; one field is set.
type Event struct {
	// Progress is for a bar.
	Progress *Progress `json:"progress,omitempty"`
	// Play is one line of play's --json.
	Play *PlayEvent `json:"play,omitempty"`
	// Live is news of a set on air.
	Live *LiveEvent `json:"live,omitempty"`
	// Note is one sentence for people.
	Note string `json:"note,omitempty"`
}

// Progress counts long work. Total may grow while it is still being found
// out; Done never falls.
type Progress struct {
	What  string `json:"what"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
	// Unit is "bytes", "tracks" or "blocks".
	Unit string `json:"unit"`
}

// Identity says who this repo is.
type Identity struct {
	// Name is the DJ's IPNS name, Root the fingerprint of her first root.
	Name string `json:"name"`
	Root string `json:"root"`
	// Device is what a DJ needs to lease to this box ("pndev1...").
	Device string   `json:"device"`
	Peer   string   `json:"peer"`
	Addrs  []string `json:"addrs"`
	Repo   string   `json:"repo"`
}

// Track is one published track. LUFS is its integrated loudness and Peak its
// true peak in dBTP; null where there is nothing to measure.
type Track struct {
	CID     string   `json:"cid"`
	Title   string   `json:"title"`
	Artist  string   `json:"artist"`
	Album   string   `json:"album"`
	Ms      int64    `json:"ms"`
	Samples int64    `json:"samples"`
	Rate    int      `json:"rate"`
	LUFS    *float64 `json:"lufs"`
	Peak    *float64 `json:"peak"`
	// Cue is what is heard of it where it is crossfaded, if its playlist
	// says.
	Cue *Cue `json:"cue,omitempty"`
}

// Playlist is an ordered list of tracks, leased as one selection.
type Playlist struct {
	Name string `json:"name"`
	// CrossfadeMs is how long a track is laid over the one before; Gain is
	// "track" or "album".
	CrossfadeMs int     `json:"crossfadeMs"`
	Gain        string  `json:"gain"`
	Tracks      []Track `json:"tracks"`
}

// Skipped is a file that was not taken, and why.
type Skipped struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// PublishRequest adds Paths (absolute) to Playlist; none publishes what has
// changed. Reanalyse brings earlier tracks' loudness and waveform up to date.
type PublishRequest struct {
	Paths        []string `json:"paths,omitempty"`
	Playlist     string   `json:"playlist,omitempty"`
	NoArchiveKey bool     `json:"noArchiveKey,omitempty"`
	Reanalyse    bool     `json:"reanalyse,omitempty"`
	// Mirrors are folders (absolute) that are brought up to date as well as
	// those of the settings.
	Mirrors []string `json:"mirrors,omitempty"`
	// WaitServed, when above 0, stays until so many others hold every block.
	WaitServed int         `json:"waitServed,omitempty"`
	Node       NodeRequest `json:"node"`
}

// NodeRequest is what a command may say about the network.
type NodeRequest struct {
	// Peers are full multiaddrs to connect to first.
	Peers []string `json:"peers,omitempty"`
	// Timeout bounds every wait in which nothing arrives; 0 means 60 s.
	Timeout time.Duration `json:"timeout,omitempty"`
}

func (n NodeRequest) timeout() time.Duration {
	if n.Timeout <= 0 {
		return time.Minute
	}
	return n.Timeout
}

// Published is the DJ's catalogue after a publish.
type Published struct {
	Name string `json:"name"`
	Seq  uint64 `json:"seq"`
	// Manifest is the CID of the head's envelope, the IPNS record's value.
	Manifest  string     `json:"manifest"`
	Playlists []Playlist `json:"playlists"`
	Skipped   []Skipped  `json:"skipped"`
	// Added counts tracks new in the playlist, Sealed those of them that
	// were not sealed before.
	Added  int `json:"added"`
	Sealed int `json:"sealed"`
	// Reanalysed counts the tracks whose loudness and waveform are new.
	Reanalysed int `json:"reanalysed"`
	// Previews counts those that were made for the card.
	Previews int `json:"previews"`
	// Holders counts the peers that took the new record.
	Holders int `json:"holders"`
	// Served comes with WaitServed.
	Served *Served `json:"served,omitempty"`
}

// PlaylistRequest names a playlist.
type PlaylistRequest struct {
	Name string `json:"name"`
}

// ShareRequest names a playlist to share. NoAddrs leaves this daemon's
// addresses out; Origins are URLs of gateways or mirrors that have it; Web is
// the gateway of the link's https form.
type ShareRequest struct {
	Name    string   `json:"name"`
	NoAddrs bool     `json:"noAddrs,omitempty"`
	Origins []string `json:"origins,omitempty"`
	Web     string   `json:"web,omitempty"`
}

// Shared is a link that opens the way to a selection, and its https form.
type Shared struct {
	Link string `json:"link"`
	Web  string `json:"web"`
}

// GrantRequest leases Playlist to Device for so long, From 0 meaning now.
type GrantRequest struct {
	Playlist string        `json:"playlist"`
	Device   string        `json:"device"`
	From     int64         `json:"from,omitempty"`
	For      time.Duration `json:"for"`
	// Link asks for a link to the grant. Device may be a link, too.
	Link bool        `json:"link,omitempty"`
	Node NodeRequest `json:"node"`
}

// Granted is a grant, sealed to its device.
type Granted struct {
	Leased
	// Blob is the file that lease import takes.
	Blob []byte `json:"blob,omitempty"`
	// Link leads to it, where that was asked for.
	Link string `json:"link,omitempty"`
}

// RenewRequest lengthens leases, each from the later of now and its end.
type RenewRequest struct {
	Leases []string      `json:"leases"`
	For    time.Duration `json:"for"`
}

// RevokeRequest ends leases before their time.
type RevokeRequest struct {
	Leases []string `json:"leases"`
}

// ImportRequest takes in a grant: its file, or what a link leads to.
type ImportRequest struct {
	Blob []byte      `json:"blob,omitempty"`
	Link string      `json:"link,omitempty"`
	Node NodeRequest `json:"node"`
}

// Leased is one lease. From and Until are Unix seconds in UTC.
type Leased struct {
	Lease    string    `json:"lease"`
	DJ       string    `json:"dj"`
	Device   string    `json:"device"`
	Playlist string    `json:"playlist"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	// State is "active", "future", "lapsed" or "revoked".
	State string `json:"state"`
	// Held tells that it was granted to this box.
	Held bool `json:"held"`
}

// ArchiveKey is what stock age takes: the identity that new tracks are sealed
// to, and before it in time those of former roots, the newest first.
type ArchiveKey struct {
	Identity   string   `json:"identity"`
	Identities []string `json:"identities"`
}

// FollowRequest follows a name or link. Once asks peers for the newest record
// first, and returns when everything public of it is held.
type FollowRequest struct {
	Link string      `json:"link"`
	Once bool        `json:"once,omitempty"`
	Node NodeRequest `json:"node"`
}

// UnfollowRequest forgets a name.
type UnfollowRequest struct {
	Name string `json:"name"`
}

// Followed is how a followed name stands.
type Followed struct {
	Name     string `json:"name"`
	DJ       string `json:"dj"`
	Seq      uint64 `json:"seq"`
	Manifest string `json:"manifest"`
	Tracks   int    `json:"tracks"`
	// Held counts tracks that are whole here, Missing those that are not.
	Held       int      `json:"held"`
	Missing    int      `json:"missing"`
	Selections []string `json:"selections"`
	// Issued is when the DJ signed this version, null before first contact.
	Issued *time.Time `json:"issued"`
	// Stale is since when the DJ has been silent for longer than she meant to
	// be; null while she is not. What is held goes on.
	Stale *time.Time `json:"stale"`
	// Record is the newest record of the name, null without one.
	Record *NameRecord `json:"record"`
	// Why tells what stands in the way of what is missing, if anything.
	Why string `json:"why,omitempty"`
	// DJName and About are what the DJ's card says of her.
	DJName string `json:"djName"`
	About  string `json:"about"`
	// Playlists are what there is to lease.
	Playlists []OnOffer `json:"playlists"`
	// ResolvedMs is how long it took to find the newest record, once peers
	// were connected; follow tells it.
	ResolvedMs *float64 `json:"resolvedMs,omitempty"`
	// Device is this box's, which a DJ without an offer needs; follow tells it.
	Device string `json:"device,omitempty"`
}

// NameRecord is a name's signed record.
type NameRecord struct {
	Seq uint64 `json:"seq"`
	// End is its end of life: past it, strangers do not take it any more.
	End time.Time `json:"end"`
}

// PlayRequest plays a name's selection. See the command play for the fields.
// What is left out is as the settings have it, except that a file is neither
// levelled, crossfaded nor turned down.
type PlayRequest struct {
	// Name is NAME, NAME/P, P of any name that is leased here, or empty for what
	// is scheduled, and where nothing is, for all that is leased.
	Name      string         `json:"name,omitempty"`
	Sink      string         `json:"sink,omitempty"`
	Once      bool           `json:"once,omitempty"`
	Rate      int            `json:"rate,omitempty"`
	Loudness  string         `json:"loudness,omitempty"`
	Crossfade *time.Duration `json:"crossfade,omitempty"`
	// ByPlaylist has each playlist's own crossfade, whatever the settings
	// and the sink are.
	ByPlaylist bool          `json:"byPlaylist,omitempty"`
	Latency    time.Duration `json:"latency,omitempty"`
	// Volume is in percent.
	Volume *int `json:"volume,omitempty"`
	// From begins so far into it.
	From time.Duration `json:"from,omitempty"`
	// Live is auto, which hears sets as they go on air, or off.
	Live string `json:"live,omitempty"`
	// Detach leaves it to the daemon, which goes on with it, also after a
	// crash, until it is stopped; what it has to wait for it waits for.
	Detach bool `json:"detach,omitempty"`
	// Instead has it play where the loudspeaker's playback does, in its place;
	// where nothing plays, at Sink.
	Instead bool        `json:"instead,omitempty"`
	Node    NodeRequest `json:"node"`
}

// CtlRequest tells the playback of a daemon's loudspeaker what to do.
type CtlRequest struct {
	// Do is next, prev, pause, resume, stop, seek, volume, block, unblock or
	// now.
	Do string `json:"do"`
	// Volume is in percent.
	Volume int `json:"volume,omitempty"`
	// At is where to seek to in the track that is heard.
	At time.Duration `json:"at,omitempty"`
	// Track is the CID to block or unblock; now means the one that is heard.
	Track string `json:"track,omitempty"`
}

// Sound is what the loudspeaker does, by its own account.
type Sound struct {
	// State is "playing", "paused", "starting", "silent" (it waits for
	// something to play), "sinkless" (it waits for a sink) or "stopped".
	State    string `json:"state"`
	Name     string `json:"name,omitempty"`
	Playlist string `json:"playlist,omitempty"`
	CID      string `json:"cid,omitempty"`
	Title    string `json:"title,omitempty"`
	Artist   string `json:"artist,omitempty"`
	// AtMs is how much of the track was heard, Ms how long it is.
	AtMs int64 `json:"atMs"`
	Ms   int64 `json:"ms"`
	// Volume and Ceiling are percents.
	Volume  int    `json:"volume"`
	Ceiling int    `json:"ceiling"`
	Sink    string `json:"sink,omitempty"`
	Rate    int    `json:"rate,omitempty"`
	// DelayMs is how much sound the sink has in advance.
	DelayMs   int64 `json:"delayMs"`
	Underruns int64 `json:"underruns"`
	// StartUs is how long it took, in microseconds, from when it was last
	// told where to begin until the sink had the first sample of that.
	StartUs int64 `json:"startUs"`
	// Live is how a set is heard; null while none is.
	Live *Reception `json:"live"`
	// Next is the track that comes next; null while that is not known.
	Next *Coming `json:"next"`
	// Blocked are the tracks that are never played here.
	Blocked []string `json:"blocked"`
}

// Coming is a track that has its turn next.
type Coming struct {
	CID    string `json:"cid"`
	Title  string `json:"title"`
	Artist string `json:"artist"`
}

// Sink is a loudspeaker of this box.
type Sink struct {
	Sink    string `json:"sink"`
	About   string `json:"about"`
	Rate    int    `json:"rate,omitempty"`
	Default bool   `json:"default"`
}

// Fault is something that went wrong while playing.
type Fault struct {
	// Kind is "track", "sink", "lease", "schedule" or "disk".
	Kind    string    `json:"kind"`
	CID     string    `json:"cid,omitempty"`
	Message string    `json:"message"`
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"`
	Times   int       `json:"times"`
	// Mended is when it was over; absent while nobody knows that it is.
	Mended *time.Time `json:"mended,omitempty"`
}

// PlayEvent is one line of play's --json. At counts samples since the first.
type PlayEvent struct {
	Event    string `json:"event"`
	Name     string `json:"name,omitempty"`
	Playlist string `json:"playlist,omitempty"`
	CID      string `json:"cid,omitempty"`
	Title    string `json:"title,omitempty"`
	Artist   string `json:"artist,omitempty"`
	At       int64  `json:"at"`
	Rate     int    `json:"rate"`
	// Set is that which is heard, in place of a track. Lag and Buffer, in
	// milliseconds, and Missing come with live: how long ago what is heard was
	// played, how much more of it is here, and how many segments were not. Of one
	// that is Recorded there is no Lag.
	Set      string `json:"set,omitempty"`
	Lag      *int64 `json:"lag,omitempty"`
	Buffer   *int64 `json:"buffer,omitempty"`
	Missing  int64  `json:"missing,omitempty"`
	Recorded bool   `json:"recorded,omitempty"`
	// Cut comes with end: it was ended before its last sample.
	Cut     bool   `json:"cut,omitempty"`
	Code    int    `json:"code,omitempty"`
	Kind    Kind   `json:"kind,omitempty"`
	Message string `json:"message,omitempty"`
	// Played comes with done.
	*Played
}

// Played is what was handed to the sink.
type Played struct {
	Samples int64 `json:"samples"`
	Joins   int   `json:"joins"`
	Skipped int   `json:"skipped"`
}

// Status is the whole box on one page.
type Status struct {
	Name    string     `json:"name"`
	Peer    string     `json:"peer"`
	Peers   int        `json:"peers"`
	Reach   Reach      `json:"reach"`
	Follows []Followed `json:"follows"`
	Leases  []Leased   `json:"leases"`
	Playing *PlayEvent `json:"playing"`
	// Sound is the loudspeaker's playback; null where there is none. Faults
	// are the last that playing met, the newest first.
	Sound   *Sound  `json:"sound"`
	Faults  []Fault `json:"faults"`
	Alerts  []Alert `json:"alerts"`
	Storage Storage `json:"storage"`
	// Served tells a DJ whether it is safe to close; null where nothing is
	// published.
	Served  *Served `json:"served"`
	Traffic Traffic `json:"traffic"`
	// Today is what of Traffic was since midnight, Line what the line may be
	// used for.
	Today Today `json:"today"`
	Line  Line  `json:"line"`
	// Carries are the sets on air that go by this box.
	Carries []Carries `json:"carries"`
	// Schedule is what plays when, for who plays without a name.
	Schedule Schedule `json:"schedule"`
}

// Carries is a set on air that goes by this box, heard here or not.
type Carries struct {
	Set string `json:"set"`
	// Depth is how many boxes stand between the DJ's and this one: 0 for who
	// has it from her, -1 for herself, and for who has it from nobody.
	Depth int `json:"depth"`
	// Children are the boxes that have it from this one.
	Children int `json:"children"`
	// Received and Twice are bytes of segments, Twice those that had come
	// already; Sent is all that the children were sent.
	Received int64 `json:"received"`
	Twice    int64 `json:"twice"`
	Sent     int64 `json:"sent"`
}

// Line is how this box uses its line.
type Line struct {
	// UploadLimit and DownloadLimit are in bytes a second, 0 for none.
	UploadLimit   int64 `json:"uploadLimit"`
	DownloadLimit int64 `json:"downloadLimit"`
	// QuietHours are the setting; Quiet tells that it is such a time now, until
	// Until.
	QuietHours []string   `json:"quietHours"`
	Quiet      bool       `json:"quiet"`
	Until      *time.Time `json:"until,omitempty"`
	Metered    bool       `json:"metered"`
}

// Today is bytes of blocks since Since, midnight by the box's clock, also of
// processes that have ended.
type Today struct {
	Since    time.Time        `json:"since"`
	Sent     int64            `json:"sent"`
	Received int64            `json:"received"`
	BySource map[string]int64 `json:"bySource"`
	// ByWay is Sent by what gave it: playnodes, bitswap or http.
	ByWay map[string]int64 `json:"byWay"`
}

// Storage is what lies on this box, in bytes.
type Storage struct {
	Pins int   `json:"pins"`
	Used int64 `json:"used"`
	// Limit is the setting store-limit, 0 for none.
	Limit int64 `json:"limit"`
}

// Alert is something wrong that a person should know.
type Alert struct {
	// Kind is equivocation (a name's key has signed two records under one
	// sequence) or stale (the newest record known of a name has ended).
	Kind string `json:"kind"`
	Name string `json:"name"`
	Seq  uint64 `json:"seq"`
	// Since is when a stale record ended.
	Since *time.Time `json:"since,omitempty"`
	// Settled tells that a newer record has come since.
	Settled bool `json:"settled,omitempty"`
	// Text is all of it in one line.
	Text string `json:"text"`
}

// Traffic is bytes of blocks, since the process began.
type Traffic struct {
	Sent     int64            `json:"sent"`
	Received int64            `json:"received"`
	BySource map[string]int64 `json:"bySource"`
	// Duplicate of Received had come already. Referred counts wants of other
	// playnodes that were answered by naming who has the block, Rescued blocks
	// asked of one more because the first was late, Liars peers dropped for
	// wrong bytes.
	Duplicate int64 `json:"duplicate"`
	Referred  int64 `json:"referred"`
	Rescued   int64 `json:"rescued"`
	Liars     int   `json:"liars"`
	// ByWay is Sent by what gave it: playnodes, bitswap (or kubo), or http, the
	// gateway, headers included.
	ByWay map[string]int64 `json:"byWay"`
}
