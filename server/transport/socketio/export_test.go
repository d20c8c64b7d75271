package socketio

import "encoding/json"

// Working returns how many connections, goroutines of handlers and sockets that
// join there are.
func (sv *Server) Working() int {
	sv.working.mu.Lock()
	defer sv.working.mu.Unlock()
	return sv.working.n
}

// AskBy is [Socket.Ask] for who is told of the answer with the connection's lock
// held.
func (s *Socket) AskBy(event string, told func()) error {
	_, err := s.ask(event, json.RawMessage("[]"), func(json.RawMessage, error) { told() })
	return err
}
