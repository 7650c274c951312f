/* fsm.c - the state machine of one connection, as a table
 *
 * A row that is not written is { BGP_DO_PROTOCOL_ERROR, BGP_STATE_IDLE }: the zero of both enums.
 * tests/unit/bgp/fsm.c walks every pair and keeps docs/fsm.dot true.
 *
 * DIFFERS: RFC 4271 goes from Connect, and from Active, to Idle when TCP fails. Here it waits in
 *Active, so that the peer's own connection is taken meanwhile. Every daemon in use does so.
 * DIFFERS: RFC 4271 answers a NOTIFICATION in OpenSent with one of its own. Here it is not
 *answered: 6.4 forbids it for errors in one, and the peer has closed already. DIFFERS: RFC
 *4271 8.2.2 has header errors in Established among the FSM errors, against its own 6.1. Here they
 *go out as what they are. SPEC   RFC 4271 8.2.2; 6608; 9687 */
#include "bgp/fsm.h"

#include "bgp/notify.h"

#define STAY(state, act)                        \
	{                                       \
		BGP_DO_##act, BGP_STATE_##state \
	}
#define TO(state, act)                          \
	{                                       \
		BGP_DO_##act, BGP_STATE_##state \
	}

static const struct bgp_fsm_row fsm[BGP_STATE_MAX_][BGP_EVENT_MAX_] = {
	[BGP_STATE_IDLE] = {
		[BGP_EVENT_START] = TO(CONNECT, DIAL),
		[BGP_EVENT_START_PASSIVE] = TO(ACTIVE, LISTEN),
		[BGP_EVENT_STOP] = STAY(IDLE, NOTHING),
		/* 8.2.2: any other event does not change the state. */
		[BGP_EVENT_CONNECT_RETRY] = STAY(IDLE, NOTHING),
		[BGP_EVENT_HOLD] = STAY(IDLE, NOTHING),
		[BGP_EVENT_KEEPALIVE_DUE] = STAY(IDLE, NOTHING),
		[BGP_EVENT_TCP_UP] = STAY(IDLE, CLOSE),
		[BGP_EVENT_TCP_DOWN] = STAY(IDLE, NOTHING),
		[BGP_EVENT_OPEN] = STAY(IDLE, NOTHING),
		[BGP_EVENT_HEADER_ERROR] = STAY(IDLE, NOTHING),
		[BGP_EVENT_OPEN_ERROR] = STAY(IDLE, NOTHING),
		[BGP_EVENT_COLLISION] = STAY(IDLE, NOTHING),
		[BGP_EVENT_NOTIFICATION_VERSION] = STAY(IDLE, NOTHING),
		[BGP_EVENT_NOTIFICATION] = STAY(IDLE, NOTHING),
		[BGP_EVENT_KEEPALIVE] = STAY(IDLE, NOTHING),
		[BGP_EVENT_UPDATE] = STAY(IDLE, NOTHING),
		[BGP_EVENT_UPDATE_ERROR] = STAY(IDLE, NOTHING),
		[BGP_EVENT_SEND_HOLD] = STAY(IDLE, NOTHING),
		[BGP_EVENT_REFRESH] = STAY(IDLE, NOTHING),
	},
	/* Before an OPEN was sent there is nobody to notify: errors just close. */
	[BGP_STATE_CONNECT] = {
		[BGP_EVENT_START] = STAY(CONNECT, NOTHING),
		[BGP_EVENT_START_PASSIVE] = STAY(CONNECT, NOTHING),
		[BGP_EVENT_STOP] = TO(IDLE, CLOSE),
		[BGP_EVENT_CONNECT_RETRY] = STAY(CONNECT, REDIAL),
		[BGP_EVENT_HOLD] = TO(IDLE, CLOSE),
		[BGP_EVENT_KEEPALIVE_DUE] = TO(IDLE, CLOSE),
		[BGP_EVENT_TCP_UP] = TO(OPENSENT, SEND_OPEN),
		[BGP_EVENT_TCP_DOWN] = TO(ACTIVE, WAIT),
		[BGP_EVENT_OPEN] = TO(IDLE, CLOSE),
		[BGP_EVENT_HEADER_ERROR] = TO(IDLE, CLOSE),
		[BGP_EVENT_OPEN_ERROR] = TO(IDLE, CLOSE),
		/* The peer's connection got further than ours. */
		[BGP_EVENT_COLLISION] = TO(ACTIVE, CLOSE),
		[BGP_EVENT_NOTIFICATION_VERSION] = TO(IDLE, CLOSE),
		[BGP_EVENT_NOTIFICATION] = TO(IDLE, CLOSE),
		[BGP_EVENT_KEEPALIVE] = TO(IDLE, CLOSE),
		[BGP_EVENT_UPDATE] = TO(IDLE, CLOSE),
		[BGP_EVENT_UPDATE_ERROR] = TO(IDLE, CLOSE),
		[BGP_EVENT_SEND_HOLD] = TO(IDLE, CLOSE),
		[BGP_EVENT_REFRESH] = TO(IDLE, CLOSE),
	},
	[BGP_STATE_ACTIVE] = {
		[BGP_EVENT_START] = STAY(ACTIVE, NOTHING),
		[BGP_EVENT_START_PASSIVE] = STAY(ACTIVE, NOTHING),
		[BGP_EVENT_STOP] = TO(IDLE, CLOSE),
		[BGP_EVENT_CONNECT_RETRY] = TO(CONNECT, DIAL),
		[BGP_EVENT_HOLD] = TO(IDLE, CLOSE),
		[BGP_EVENT_KEEPALIVE_DUE] = TO(IDLE, CLOSE),
		[BGP_EVENT_TCP_UP] = TO(OPENSENT, SEND_OPEN),
		[BGP_EVENT_TCP_DOWN] = STAY(ACTIVE, WAIT),
		[BGP_EVENT_OPEN] = TO(IDLE, CLOSE),
		[BGP_EVENT_HEADER_ERROR] = TO(IDLE, CLOSE),
		[BGP_EVENT_OPEN_ERROR] = TO(IDLE, CLOSE),
		[BGP_EVENT_COLLISION] = STAY(ACTIVE, NOTHING),
		[BGP_EVENT_NOTIFICATION_VERSION] = TO(IDLE, CLOSE),
		[BGP_EVENT_NOTIFICATION] = TO(IDLE, CLOSE),
		[BGP_EVENT_KEEPALIVE] = TO(IDLE, CLOSE),
		[BGP_EVENT_UPDATE] = TO(IDLE, CLOSE),
		[BGP_EVENT_UPDATE_ERROR] = TO(IDLE, CLOSE),
		[BGP_EVENT_SEND_HOLD] = TO(IDLE, CLOSE),
		[BGP_EVENT_REFRESH] = TO(IDLE, CLOSE),
	},
	/* KEEPALIVE, UPDATE, ROUTE-REFRESH and timers that do not run here: protocol error. */
	[BGP_STATE_OPENSENT] = {
		[BGP_EVENT_START] = STAY(OPENSENT, NOTHING),
		[BGP_EVENT_START_PASSIVE] = STAY(OPENSENT, NOTHING),
		[BGP_EVENT_STOP] = TO(IDLE, NOTIFY),
		[BGP_EVENT_HOLD] = TO(IDLE, NOTIFY),
		[BGP_EVENT_TCP_UP] = STAY(OPENSENT, NOTHING),
		[BGP_EVENT_TCP_DOWN] = TO(ACTIVE, WAIT),
		[BGP_EVENT_OPEN] = TO(OPENCONFIRM, CONFIRM),
		[BGP_EVENT_HEADER_ERROR] = TO(IDLE, NOTIFY),
		[BGP_EVENT_OPEN_ERROR] = TO(IDLE, NOTIFY),
		[BGP_EVENT_COLLISION] = TO(IDLE, NOTIFY),
		[BGP_EVENT_NOTIFICATION_VERSION] = TO(IDLE, CLOSE),
		[BGP_EVENT_NOTIFICATION] = TO(IDLE, CLOSE),
		[BGP_EVENT_SEND_HOLD] = TO(IDLE, NOTIFY),
	},
	/* A second OPEN on the same connection is a protocol error; on the other one it is a collision. */
	[BGP_STATE_OPENCONFIRM] = {
		[BGP_EVENT_START] = STAY(OPENCONFIRM, NOTHING),
		[BGP_EVENT_START_PASSIVE] = STAY(OPENCONFIRM, NOTHING),
		[BGP_EVENT_STOP] = TO(IDLE, NOTIFY),
		[BGP_EVENT_HOLD] = TO(IDLE, NOTIFY),
		[BGP_EVENT_KEEPALIVE_DUE] = STAY(OPENCONFIRM, KEEPALIVE),
		[BGP_EVENT_TCP_UP] = STAY(OPENCONFIRM, NOTHING),
		[BGP_EVENT_TCP_DOWN] = TO(IDLE, CLOSE),
		[BGP_EVENT_HEADER_ERROR] = TO(IDLE, NOTIFY),
		[BGP_EVENT_OPEN_ERROR] = TO(IDLE, NOTIFY),
		[BGP_EVENT_COLLISION] = TO(IDLE, NOTIFY),
		[BGP_EVENT_NOTIFICATION_VERSION] = TO(IDLE, CLOSE),
		[BGP_EVENT_NOTIFICATION] = TO(IDLE, CLOSE),
		[BGP_EVENT_KEEPALIVE] = TO(ESTABLISHED, UP),
		[BGP_EVENT_SEND_HOLD] = TO(IDLE, NOTIFY),
	},
	[BGP_STATE_ESTABLISHED] = {
		[BGP_EVENT_START] = STAY(ESTABLISHED, NOTHING),
		[BGP_EVENT_START_PASSIVE] = STAY(ESTABLISHED, NOTHING),
		[BGP_EVENT_STOP] = TO(IDLE, NOTIFY),
		[BGP_EVENT_HOLD] = TO(IDLE, NOTIFY),
		[BGP_EVENT_KEEPALIVE_DUE] = STAY(ESTABLISHED, KEEPALIVE),
		[BGP_EVENT_TCP_UP] = STAY(ESTABLISHED, NOTHING),
		[BGP_EVENT_TCP_DOWN] = TO(IDLE, CLOSE),
		[BGP_EVENT_HEADER_ERROR] = TO(IDLE, NOTIFY),
		[BGP_EVENT_COLLISION] = TO(IDLE, NOTIFY),
		[BGP_EVENT_NOTIFICATION_VERSION] = TO(IDLE, CLOSE),
		[BGP_EVENT_NOTIFICATION] = TO(IDLE, CLOSE),
		[BGP_EVENT_KEEPALIVE] = STAY(ESTABLISHED, HEARD),
		[BGP_EVENT_UPDATE] = STAY(ESTABLISHED, UPDATE),
		[BGP_EVENT_UPDATE_ERROR] = TO(IDLE, NOTIFY),
		[BGP_EVENT_SEND_HOLD] = TO(IDLE, NOTIFY),
		[BGP_EVENT_REFRESH] = STAY(ESTABLISHED, REFRESH),
	},
};

#undef STAY
#undef TO

const struct bgp_fsm_row *bgp_fsm(enum bgp_state state, enum bgp_event event)
{
	return &fsm[state][event];
}

const char *bgp_event_name(enum bgp_event event)
{
	static const char *const names[BGP_EVENT_MAX_] = {
		[BGP_EVENT_START] = "Start",
		[BGP_EVENT_START_PASSIVE] = "StartPassive",
		[BGP_EVENT_STOP] = "Stop",
		[BGP_EVENT_CONNECT_RETRY] = "ConnectRetryTimer",
		[BGP_EVENT_HOLD] = "HoldTimer",
		[BGP_EVENT_KEEPALIVE_DUE] = "KeepaliveTimer",
		[BGP_EVENT_TCP_UP] = "TcpUp",
		[BGP_EVENT_TCP_DOWN] = "TcpDown",
		[BGP_EVENT_OPEN] = "OPEN",
		[BGP_EVENT_HEADER_ERROR] = "HeaderError",
		[BGP_EVENT_OPEN_ERROR] = "OpenError",
		[BGP_EVENT_COLLISION] = "CollisionDump",
		[BGP_EVENT_NOTIFICATION_VERSION] = "NOTIFICATION version",
		[BGP_EVENT_NOTIFICATION] = "NOTIFICATION",
		[BGP_EVENT_KEEPALIVE] = "KEEPALIVE",
		[BGP_EVENT_UPDATE] = "UPDATE",
		[BGP_EVENT_UPDATE_ERROR] = "UpdateError",
		[BGP_EVENT_SEND_HOLD] = "SendHoldTimer",
		[BGP_EVENT_REFRESH] = "ROUTE-REFRESH",
	};

	return names[event];
}

const char *bgp_action_name(enum bgp_action action)
{
	static const char *const names[BGP_ACTION_MAX_] = {
		[BGP_DO_PROTOCOL_ERROR] = "protocol error",
		[BGP_DO_NOTHING] = "nothing",
		[BGP_DO_DIAL] = "dial",
		[BGP_DO_LISTEN] = "listen",
		[BGP_DO_REDIAL] = "redial",
		[BGP_DO_WAIT] = "wait",
		[BGP_DO_SEND_OPEN] = "send OPEN",
		[BGP_DO_CONFIRM] = "confirm",
		[BGP_DO_UP] = "up",
		[BGP_DO_HEARD] = "restart hold",
		[BGP_DO_UPDATE] = "update",
		[BGP_DO_REFRESH] = "refresh",
		[BGP_DO_KEEPALIVE] = "send KEEPALIVE",
		[BGP_DO_NOTIFY] = "notify and close",
		[BGP_DO_CLOSE] = "close",
	};

	return names[action];
}

uint8_t bgp_fsm_subcode(enum bgp_state state)
{
	switch (state) {
	case BGP_STATE_OPENSENT:
		return BGP_FSM_IN_OPENSENT;
	case BGP_STATE_OPENCONFIRM:
		return BGP_FSM_IN_OPENCONFIRM;
	case BGP_STATE_ESTABLISHED:
		return BGP_FSM_IN_ESTABLISHED;
	case BGP_STATE_IDLE:
	case BGP_STATE_CONNECT:
	case BGP_STATE_ACTIVE:
	case BGP_STATE_MAX_:
		break;
	}
	return BGP_FSM_UNSPECIFIC;
}
