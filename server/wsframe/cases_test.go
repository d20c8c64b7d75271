package wsframe_test

import (
	"fmt"
	"strings"
)

// A wireCase is what a client sends and what the reader makes of it. The groups
// are those of the Autobahn test suite.
type wireCase struct {
	name string
	sent string
	want transcript
}

func wireCases() (all []wireCase) {
	for _, group := range [][]wireCase{
		framing(), pings(), reservedBits(), opcodes(), fragmentation(), utf8Cases(), closeCases(), limitCases(), pieces(),
	} {
		all = append(all, group...)
	}
	return all
}

func repeat(n int) string { return strings.Repeat("*", n) }

func framing() (all []wireCase) {
	for _, kind := range []struct {
		op   byte
		name string
	}{{text, "text"}, {binary, "binary"}} {
		for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536} {
			want := strings.TrimSpace(kind.name + " " + repeat(n))
			if n > 200 {
				want = fmt.Sprintf("%s %d bytes beginning with %q", kind.name, n, repeat(10))
			}
			all = append(all, wireCase{fmt.Sprintf("1 %s of %d bytes", kind.name, n), frame(fin|kind.op, repeat(n)), transcript{want}})
		}
	}
	return append(all,
		wireCase{"1 a length that would fit into the second byte", head(fin|text, 0x80|126, 0, 2) + masked("hi"), transcript{"text hi"}},
		wireCase{"1 a length that would fit into two bytes", head(fin|text, 0x80|127, 0, 0, 0, 0, 0, 0, 0, 2) + masked("hi"), transcript{"text hi"}},
		wireCase{"1 many messages", said("a") + said("b") + frame(fin|binary, "\x00\xff"), transcript{"text a", "text b", "binary \x00\xff"}},
		wireCase{"1 not masked", "\x81\x02hi", transcript{"1002"}},
		wireCase{"1 not masked, the second frame", said("a") + "\x81\x02hi", transcript{"text a", "1002"}},
		wireCase{"1 half a head", "\x81", nil},
		wireCase{"1 half a frame", said("hello")[:8], nil},
	)
}

func pings() []wireCase {
	return []wireCase{
		{"2 empty", frame(fin|ping, ""), transcript{"ping"}},
		{"2 with text", frame(fin|ping, "Hello, world!"), transcript{"ping Hello, world!"}},
		{"2 with bytes", frame(fin|ping, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), transcript{"ping \x00\xff\xfe\xfd\xfc\xfb\x00\xff"}},
		{"2 of 125 bytes", frame(fin|ping, repeat(125)), transcript{"ping " + repeat(125)}},
		{"2 of 126 bytes", frame(fin|ping, repeat(126)), transcript{"1002"}},
		{"2 of 65536 bytes", frame(fin|ping, repeat(65536)), transcript{"1002"}},
		{"2 a pong nobody asked for", frame(fin|pong, ""), transcript{"pong"}},
		{"2 a pong with text", frame(fin|pong, "unsolicited"), transcript{"pong unsolicited"}},
		{"2 a pong of 126 bytes", frame(fin|pong, repeat(126)), transcript{"1002"}},
		{"2 pong, ping, pong", frame(fin|pong, "a") + frame(fin|ping, "b") + frame(fin|pong, "c"), transcript{"pong a", "ping b", "pong c"}},
		{"2 ten", strings.Repeat(frame(fin|ping, "p"), 10), transcript{"ping p", "ping p", "ping p", "ping p", "ping p", "ping p", "ping p", "ping p", "ping p", "ping p"}},
		{"2 not masked", "\x89\x00", transcript{"1002"}},
	}
}

func reservedBits() (all []wireCase) {
	for bits := byte(1); bits < 8; bits++ {
		for _, op := range []byte{text, binary, closes, ping, pong} {
			name := fmt.Sprintf("3 bits %d with opcode %d", bits, op)
			all = append(all, wireCase{name, said("a") + frame(fin|bits<<4|op, ""), transcript{"text a", "1002"}})
		}
	}
	return append(all,
		wireCase{"3 in a continuation", frame(text, "a") + frame(fin|rsv1|cont, "b"), transcript{"1002"}},
		wireCase{"3 in a ping inside a message", frame(text, "a") + frame(fin|rsv2|ping, ""), transcript{"1002"}},
	)
}

func opcodes() (all []wireCase) {
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		all = append(all,
			wireCase{fmt.Sprintf("4 opcode %d", op), frame(fin|op, ""), transcript{"1002"}},
			wireCase{fmt.Sprintf("4 opcode %d behind others", op), said("a") + frame(fin|ping, "") + frame(op, "x"), transcript{"text a", "ping", "1002"}})
	}
	return all
}

func fragmentation() []wireCase {
	ab := transcript{"text ab"}
	return []wireCase{
		{"5 a ping in two", frame(ping, "a") + frame(fin|cont, "b"), transcript{"1002"}},
		{"5 a pong in two", frame(pong, "a") + frame(fin|cont, "b"), transcript{"1002"}},
		{"5 a close in two", frame(closes, "") + frame(fin|cont, ""), transcript{"1002"}},
		{"5 a text in two", frame(text, "a") + frame(fin|cont, "b"), ab},
		{"5 a binary in two", frame(binary, "a") + frame(fin|cont, "b"), transcript{"binary ab"}},
		{"5 in four", frame(text, "a") + frame(cont, "b") + frame(cont, "c") + frame(fin|cont, "d"), transcript{"text abcd"}},
		{"5 empty ones", frame(text, "") + frame(cont, "") + frame(fin|cont, ""), transcript{"text"}},
		{"5 empty ones around", frame(text, "") + frame(cont, "ab") + frame(fin|cont, ""), ab},
		{"5 a ping between", frame(text, "a") + frame(fin|ping, "p") + frame(fin|cont, "b"), transcript{"ping p", "text ab"}},
		{"5 many pings between", frame(text, "a") + strings.Repeat(frame(fin|ping, ""), 3) + frame(cont, "") + frame(fin|pong, "q") + frame(fin|cont, "b"),
			transcript{"ping", "ping", "ping", "pong q", "text ab"}},
		{"5 a ping before anything has come", frame(text, "") + frame(fin|ping, "p") + frame(fin|cont, "ab"), transcript{"ping p", "text ab"}},
		{"5 a close between", frame(text, "a") + frame(fin|closes, "") + frame(fin|cont, "b"), transcript{"close 1005"}},
		{"5 a continuation first", frame(fin|cont, "a") + said("b"), transcript{"1002"}},
		{"5 an open continuation first", frame(cont, "a") + said("b"), transcript{"1002"}},
		{"5 an empty continuation first", frame(fin|cont, ""), transcript{"1002"}},
		{"5 a continuation behind a message", said("a") + frame(fin|cont, "b"), transcript{"text a", "1002"}},
		{"5 a continuation behind one in two", frame(text, "a") + frame(fin|cont, "b") + frame(fin|cont, "c"), transcript{"text ab", "1002"}},
		{"5 a continuation behind a ping", frame(fin|ping, "") + frame(fin|cont, "c"), transcript{"ping", "1002"}},
		{"5 a text inside a text", frame(text, "a") + said("b"), transcript{"1002"}},
		{"5 a text inside an empty text", frame(text, "") + said("b"), transcript{"1002"}},
		{"5 a binary inside a text", frame(text, "a") + frame(fin|binary, "b"), transcript{"1002"}},
		{"5 a text inside a binary", frame(binary, "a") + frame(text, "b"), transcript{"1002"}},
		{"5 not ended", frame(text, "a") + frame(cont, "b") + frame(fin|ping, ""), transcript{"ping"}},
		{"5 one behind the other", frame(text, "a") + frame(fin|cont, "b") + frame(binary, "c") + frame(fin|cont, "d"), transcript{"text ab", "binary cd"}},
	}
}

func closeCases() (all []wireCase) {
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4408, 4999} {
		want := fmt.Sprint("close ", code)
		all = append(all, wireCase{want, frame(fin|closes, closing(code, "")), transcript{want}})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		all = append(all, wireCase{fmt.Sprint("7 the code ", code), frame(fin|closes, closing(code, "")), transcript{"1002"}})
	}
	return append(all, []wireCase{
		{"7 empty", frame(fin|closes, ""), transcript{"close 1005"}},
		{"7 of one byte", frame(fin|closes, "\x03"), transcript{"1002"}},
		{"7 with a reason", frame(fin|closes, closing(1000, "bye é")), transcript{"close 1000 bye é"}},
		{"7 with the longest reason", frame(fin|closes, closing(1000, repeat(123))), transcript{"close 1000 " + repeat(123)}},
		{"7 with a longer reason", frame(fin|closes, closing(1000, repeat(124))), transcript{"1002"}},
		{"7 with a reason that is no text", frame(fin|closes, closing(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80")), transcript{"1007"}},
		{"7 with half a character", frame(fin|closes, closing(1000, "\xc3")), transcript{"1007"}},
		{"7 twice", frame(fin|closes, closing(1000, "")) + frame(fin|closes, closing(1001, "")), transcript{"close 1000"}},
		{"7 text behind it", frame(fin|closes, closing(1000, "")) + said("late"), transcript{"close 1000"}},
		{"7 a ping behind it", frame(fin|closes, "") + frame(fin|ping, ""), transcript{"close 1005"}},
		{"7 not masked", "\x88\x00", transcript{"1002"}},
		{"7 behind a message", said("a") + frame(fin|closes, closing(1001, "")), transcript{"text a", "close 1001"}},
	}...)
}

func limitCases() []wireCase {
	full := fmt.Sprintf("text 65536 bytes beginning with %q", repeat(10))
	return []wireCase{
		{"9 the largest message", said(repeat(65536)), transcript{full}},
		{"9 a larger one", said(repeat(65537)), transcript{"1009"}},
		{"9 the largest in two", frame(text, repeat(65535)) + frame(fin|cont, "*"), transcript{full}},
		{"9 a larger one in two", frame(text, repeat(65535)) + frame(fin|cont, "**"), transcript{"1009"}},
		{"9 a larger one in three", frame(text, repeat(40000)) + frame(cont, repeat(25536)) + frame(fin|cont, "*"), transcript{"1009"}},
		{"9 4 GiB announced", head(fin|text, 0x80|127, 0, 0, 0, 1, 0, 0, 0, 0), transcript{"1009"}},
		{"9 2^63-1 bytes announced", head(fin|text, 0x80|127, 0x7f, 255, 255, 255, 255, 255, 255, 255), transcript{"1009"}},
		{"9 2^63 bytes announced", head(fin|text, 0x80|127, 0x80, 0, 0, 0, 0, 0, 0, 0), transcript{"1002"}},
		{"9 2^64-1 bytes announced", head(fin|binary, 0x80|127, 255, 255, 255, 255, 255, 255, 255, 255), transcript{"1002"}},
		{"9 2^63-1 bytes in a continuation", frame(text, "a") + head(fin|cont, 0x80|127, 0x7f, 255, 255, 255, 255, 255, 255, 255), transcript{"1009"}},
		{"9 a long ping announced", head(fin|ping, 0x80|127, 0x7f, 255, 255, 255, 255, 255, 255, 255), transcript{"1002"}},
		{"9 the most fragments", frame(text, "") + strings.Repeat(frame(cont, "x"), 98) + frame(fin|cont, "x"), transcript{"text " + strings.Repeat("x", 99)}},
		{"9 one fragment more", frame(text, "") + strings.Repeat(frame(cont, "x"), 99) + frame(fin|cont, "x"), transcript{"1008"}},
		{"9 too many empty fragments", frame(binary, "") + strings.Repeat(frame(cont, ""), 100), transcript{"1008"}},
		{"9 fragments of two messages", strings.Repeat(frame(text, "")+strings.Repeat(frame(cont, ""), 60)+frame(fin|cont, ""), 2), transcript{"text", "text"}},
	}
}

// pieces are long messages in many small frames.
func pieces() (all []wireCase) {
	for _, size := range []int{64, 256, 1024} {
		var b strings.Builder
		b.WriteString(frame(text, ""))
		for range 10 {
			b.WriteString(frame(cont, repeat(size)))
			b.WriteString(frame(fin|ping, fmt.Sprint(size)))
		}
		b.WriteString(frame(fin|cont, ""))
		want := transcript{}
		for range 10 {
			want = append(want, fmt.Sprint("ping ", size))
		}
		want = append(want, fmt.Sprintf("text %d bytes beginning with %q", 10*size, repeat(10)))
		all = append(all, wireCase{fmt.Sprintf("10 fragments of %d bytes", size), b.String(), want})
	}
	return all
}

// utf8Cases has a text of each kind, each also in two frames cut at every
// byte.
func utf8Cases() (all []wireCase) {
	for _, s := range []string{
		"Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\u0000", "\u0080", "\u07ff", "\u0800", "\uffff", "\ufffd", "\ufeffx",
		"\ud7ff", "\ue000", "\U00010000", "\U0010ffff", "\U0001f600\U0001f600", "\ufdd0\U0001fffe",
	} {
		all = append(all, textCases(s, true)...)
	}
	for _, s := range []string{
		"κόσμε\xed\xa0\x80edited", "\x80", "\xbf", "\x80\xbf", "\xc3", "\xe1\xbd", "\xf0\x9f\x98", "\xc3 ", "\xe1\xbd ", "\xf0\x9f\x98 ",
		"\xfe", "\xff", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf",
		"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xc0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "a\xc3\xc3\xa9", "\xf0\x9f\xe2\x82\xac",
	} {
		all = append(all, textCases(s, false)...)
	}
	return all
}

func textCases(s string, valid bool) (all []wireCase) {
	want := transcript{"1007"}
	if valid {
		want = transcript{"text " + s}
	}
	all = append(all,
		wireCase{fmt.Sprintf("6 %+q", s), said(s), want},
		wireCase{fmt.Sprintf("6 %+q is fine as binary", s), frame(fin|binary, s), transcript{"binary " + s}})
	for i := 1; i < len(s); i++ {
		all = append(all, wireCase{fmt.Sprintf("6 %+q in two at %d", s, i), frame(text, s[:i]) + frame(fin|cont, s[i:]), want})
	}
	return all
}
