#!/usr/bin/env escript
%% statem.escript FILE: the traces of `gen_statem` for the scripts of statem.py, as Erlang terms. One line each: its seed and its trace.
-mode(compile).
-behaviour(gen_statem).
-export([init/1, callback_mode/0, handle_event/4]).

main([File]) ->
    logger:set_primary_config(level, none),
    {ok, Scripts} = file:consult(File),
    All = [spawn_monitor(fun() -> trace(Script) end) || Script <- Scripts],
    [receive {'DOWN', Monitor, _, _, _} -> ok end || {_, Monitor} <- All].

trace({Seed, Rules, Enters, Batches}) ->
    {ok, Machine} = gen_statem:start(?MODULE, {self(), Rules, Enters}, []),
    Monitor = monitor(process, Machine),
    [begin [Machine ! Event || Event <- Batch], timer:sleep(400) end || Batch <- Batches],
    timer:sleep(1200),
    exit(Machine, kill),
    receive {'DOWN', Monitor, _, _, _} -> ok end,
    io:format("~p ~s~n", [Seed, lists:join(" ", seen())]).

seen() ->
    receive {seen, What} -> [What | seen()] after 0 -> [] end.

callback_mode() -> [handle_event_function, state_enter].

init(Data) -> {ok, 0, Data}.

handle_event(enter, _, State, {Tells, Rules, Enters}) ->
    Tells ! {seen, io_lib:format(">~p", [State])},
    case lists:keytake(State, 1, Enters) of
        {value, {_, Actions}, Left} -> {keep_state, {Tells, Rules, Left}, Actions};
        false -> keep_state_and_data
    end;
handle_event(_, Event, State, {Tells, Rules, Enters}) ->
    Tells ! {seen, io_lib:format("~p@~p", [Event, State])},
    case lists:keytake(Event, 1, Rules) of
        false -> keep_state_and_data;
        {value, {_, To, Postponed, Some}, Left} ->
            Data = {Tells, Left, Enters},
            Actions = [postpone || Postponed] ++ Some,
            case To of
                keep -> {keep_state, Data, Actions};
                repeat -> {repeat_state, Data, Actions};
                stop -> {stop, normal};
                _ -> {next_state, To, Data, Actions}
            end
    end.
