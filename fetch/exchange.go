package fetch

// BlocksProtocol has blocks go between peers that fill up from one another. A
// stream is one asker's, for as long as both like; the other side, the giver,
// may have one of its own back. Each side sends frames, and waits for none:
//
//	frame    type:1  length:3  body:length          integers are big-endian
//
//	asker    1 hello   count:1  (size:1 addr:size)*count      once, first
//	         2 ask     base:4  (digest:32)*n         number blocks from base on: which are held?
//	         3 want    (number:4 class:1 digest:32)*n
//	         4 cancel  (number:4)*n                 of wants
//	         5 done    (digest:32)*n                 held here by now, wherever from
//	giver    17 held   base:4  count:2  bitmap:ceil(count/8)  answers an ask, bit i%8 of byte i/8
//	         18 gain   (number:4)*n                 asked about, not held then, held now
//	         19 block  number:4  bytes
//	         20 not    (number:4)*n                 not held
//	         21 later  number:4  wait:4  count:1  (size:1 peer:size  count:1 (size:1 addr:size)*)*
//	         22 busy                                 nothing yet, and not dead
//
// A digest is a block's sha2-256, whatever its CID's codec. A class is
// node.Class, plus 128 when the asker can reach nobody it was referred to. A
// later says in how many milliseconds the block would be given here, and which
// peers have been given it; a want ends with block, not or later, or with the
// asker's cancel, which block may cross. What is over a bound below resets the
// stream.
const BlocksProtocol = "/playnode/blocks/1.0.0"
