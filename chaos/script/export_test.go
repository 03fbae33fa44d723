package script

// Modes returns all modes.
func Modes() []Mode {
	var all []Mode
	for _, v := range verbs {
		all = append(all, modes[v.verb]...)
	}
	return all
}
