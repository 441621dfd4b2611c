# bash completion for caisson(1).

_caisson_boxes() {
  caisson ps "$@" --no-trunc 2>/dev/null | awk 'NR > 1 { print $1 } NR > 1 && $2 !~ /:/ { print $2 }'
}

_caisson() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local commands="run create start exec attach ps inspect logs stats wait stop kill rm debug
    completion version help"
  local box_options="--name --isolation -e --env --env-file -w --workdir -u --user --group-add
    --hostname --mount -v --volume --tmpfs --read-only -m --memory --cpus --cpu-weight --pids
    --pids-limit --timeout --cpu-time --open-files --ulimit --file-size --output-limit --disk
    --tmpfs-size --network -d --detach -i --interactive -t --tty --init --rm -l --label --profile
    --security --stop-signal --allow-missing --json --cidfile --help"
  local with_value=" --name --isolation -e --env --env-file -w --workdir -u --user --group-add
    --hostname --mount -v --volume --tmpfs -m --memory --cpus --cpu-weight --pids --pids-limit
    --timeout --cpu-time --open-files --ulimit --file-size --output-limit --disk --tmpfs-size
    --network -l --label --profile --security --stop-signal --allow-missing --cidfile
    -s --signal --time --filter "
  with_value=${with_value//[$'\n\t ']/ }
  COMPREPLY=()

  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W "$commands --help --version" -- "$cur"))
    return
  fi

  local command=${COMP_WORDS[1]} first=2
  if [[ $command == debug ]]; then
    if (( COMP_CWORD == 2 )); then
      COMPREPLY=($(compgen -W "plan probe --help" -- "$cur"))
      return
    fi
    first=3
  fi

  case $prev in
    --network) COMPREPLY=($(compgen -W "none host" -- "$cur")); return ;;
    --profile) COMPREPLY=($(compgen -W "minimal standard full" -- "$cur")); return ;;
    --isolation) COMPREPLY=($(compgen -W "container" -- "$cur")); return ;;
    --security) COMPREPLY=($(compgen -W "seccomp=unconfined seccomp=" -- "$cur")); return ;;
    --env-file|--cidfile) COMPREPLY=($(compgen -f -- "$cur")); return ;;
    -w|--workdir) return ;;
    -s|--signal|--stop-signal)
      COMPREPLY=($(compgen -W "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP" -- "$cur")); return ;;
  esac

  # The first argument that is neither an option nor an option's value.
  local i argument=0
  for (( i = first; i < COMP_CWORD; i++ )); do
    if [[ ${COMP_WORDS[i]} == -* ]]; then
      if [[ $with_value == *" ${COMP_WORDS[i]} "* ]] ||
         [[ $command == stop && ${COMP_WORDS[i]} == -t ]]; then (( i++ )); fi
    else
      argument=$i
      break
    fi
  done

  case $command in
    run|create|debug)
      if (( argument )); then
        COMPREPLY=($(compgen -c -f -- "$cur"))
      elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$box_options" -- "$cur"))
      else
        COMPREPLY=($(compgen -W "host: dir:" -- "$cur"))
      fi ;;
    exec)
      if (( argument )); then
        COMPREPLY=($(compgen -c -f -- "$cur"))
      elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "-i --interactive -t --tty -d --detach -e --env --env-file -w
          --workdir -u --user --timeout --output-limit --json --help" -- "$cur"))
      else
        COMPREPLY=($(compgen -W "$(_caisson_boxes)" -- "$cur"))
      fi ;;
    start|attach|inspect|logs|stats|wait|stop|kill|rm)
      if [[ $cur == -* ]]; then
        local options="--help"
        case $command in
          start) options+=" -a --attach -i --interactive" ;;
          attach) options+=" --no-stdin" ;;
          stats) options+=" --json" ;;
          stop) options+=" -t --time" ;;
          kill) options+=" -s --signal" ;;
          rm) options+=" -f --force" ;;
        esac
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
      elif [[ $command == attach || $command == stats || $command == stop || $command == kill ]]; then
        COMPREPLY=($(compgen -W "$(_caisson_boxes)" -- "$cur"))
      else
        COMPREPLY=($(compgen -W "$(_caisson_boxes -a)" -- "$cur"))
      fi ;;
    ps) COMPREPLY=($(compgen -W "-a --all -q --quiet --filter --no-trunc --json --help" -- "$cur")) ;;
    version) COMPREPLY=($(compgen -W "--json --help" -- "$cur")) ;;
    completion) COMPREPLY=($(compgen -W "bash zsh fish --help" -- "$cur")) ;;
    help) COMPREPLY=($(compgen -W "$commands" -- "$cur")) ;;
  esac

  # "host:" contains a colon, at which readline breaks words.
  if [[ $cur == *:* ]] && declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions "$cur"
  fi
}

complete -o default -F _caisson caisson
