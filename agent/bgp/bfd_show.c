/* bfd_show.c - a BFD session for status */
#include "agent/bgp/bfd_peers.h"
#include "lib/json.h"

static void set_ms(json_t *o, const char *name, uint64_t us)
{
	json_object_set_new(o, name, json_real((double)us / 1000));
}

json_t *bfd_show(const struct bfd_peer_status *st)
{
	const struct bfd_session *s = &st->session;
	json_t *o = json_object();

	js_set_str(o, "state", bfd_state_name(s->state));
	js_set_str(o, "remoteState", bfd_state_name(s->remote_state));
	js_set_str(o, "diagnostic", bfd_diag_text((uint8_t)s->diag));
	js_set_str(o, "remoteDiagnostic", bfd_diag_text((uint8_t)s->remote_diag));
	js_set_str(o, "way", st->path.ifindex ? "singlehop" : "multihop");
	if (st->path.ifindex)
		js_set_str(o, "interface", st->path.ifname);
	js_set_int(o, "localDiscriminator", s->my_disc);
	js_set_int(o, "remoteDiscriminator", s->remote_disc);
	js_set_int(o, "multiplier", s->config.mult);
	set_ms(o, "transmitMs", st->tx_us);
	set_ms(o, "receiveMs", s->rx_us);
	if (bfd_detection_us(s))
		set_ms(o, "detectionMs", bfd_detection_us(s));
	js_set_int(o, "packetsReceived", (json_int_t)s->packets_in);
	js_set_int(o, "packetsSent", (json_int_t)s->packets_out);
	js_set_int(o, "packetsDropped", (json_int_t)st->dropped);
	js_set_int(o, "ups", (json_int_t)s->ups);
	js_set_int(o, "downs", (json_int_t)s->downs);
	return o;
}
