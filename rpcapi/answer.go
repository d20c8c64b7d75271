package rpcapi

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// appendAnswer appends the answer to c, in c's dialect.
func appendAnswer(b []byte, c *call) []byte {
	if c.v2 {
		return appendAnswer2(b, c)
	}
	return appendAnswerOld(b, c)
}

// appendAnswer2 writes as JSON-RPC 2.0 wants it.
func appendAnswer2(b []byte, c *call) []byte {
	b = append(b, `{"jsonrpc":"2.0",`...)
	if e := c.err; e != nil {
		b = append(b, `"error":{"code":`...)
		b = strconv.AppendInt(b, int64(e.Code), 10)
		b = append(b, `,"message":`...)
		b = appendString(b, e.Message)
		b = append(b, `,"data":{"type":`...)
		b = appendString(b, e.typeName())
		b = append(b, "}}"...)
	} else {
		b = append(b, `"result":`...)
		b = append(b, c.result...)
	}
	b = append(b, `,"id":`...)
	if c.id == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, c.id...)
	}
	return append(b, '}')
}

// appendAnswerOld writes as the first Shaveet did, down to the spaces. No id is
// written when there was none to echo.
func appendAnswerOld(b []byte, c *call) []byte {
	b = append(b, `{"result": `...)
	if c.err != nil {
		b = append(b, "null"...)
	} else {
		b = append(b, c.result...)
	}
	if c.id != nil && string(c.id) != "null" {
		b = append(b, `, "id": `...)
		b = append(b, c.id...)
	}
	if e := c.err; e != nil {
		b = append(b, `, "error": {"type": `...)
		b = appendString(b, e.typeName())
		b = append(b, `, "message": `...)
		b = appendString(b, e.Message)
		b = append(b, `, "code": `...)
		b = strconv.AppendInt(b, int64(e.Code), 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

// appender is a reply that writes its own JSON.
type appender interface {
	appendJSON(b []byte) []byte
}

// encodeReply returns the JSON of what a method replied. reply is a pointer.
func encodeReply(reply any) ([]byte, error) {
	switch v := reply.(type) {
	case appender:
		return v.appendJSON(make([]byte, 0, 96)), nil
	case *int:
		return strconv.AppendInt(nil, int64(*v), 10), nil
	case *string:
		return appendString(make([]byte, 0, len(*v)+2), *v), nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(reply); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // cannot fail for a string
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
