# bash completion for caisson(1).

_caisson_boxes() {
  caisson ps "$@" --no-trunc 2>/dev/null | awk 'NR > 1 { print $1 } NR > 1 && $2 !~ /:/ { print $2 }'
}

_caisson_images() {
  caisson images --no-trunc 2>/dev/null |
    awk 'NR > 1 && NF > 7 { print $1 == "<none>" ? $3 : $1 ":" $2 }'
}

# Options of the commands about images; `image ls` and others are the same as `images`.
_caisson_image_options() {
  case $1 in
    pull) echo "--platform -q --quiet --json --help" ;;
    images|ls) echo "-a --all -q --quiet --filter --no-trunc --json --help" ;;
    rmi|rm) echo "-f --force --json --help" ;;
    prune) echo "-a --all --boxes -f --force --grace --high --low --json --help" ;;
    login) echo "-u --username --password-stdin --help" ;;
    history) echo "--no-trunc --json --help" ;;
    load) echo "-i --input --platform -q --quiet --json --help" ;;
    save|disk) echo "-o --output --help" ;;
    fsck) echo "--json --help" ;;
    *) echo "--help" ;;
  esac
}

# Completes a command about images, `image` itself left out.
_caisson_image() {
  local cur=$2
  case $1 in
    load|save|disk)
      if [[ $prev == -i || $prev == --input || $prev == -o || $prev == --output ]]; then
        COMPREPLY=($(compgen -f -- "$cur"))
        return
      fi ;;
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$(_caisson_image_options "$1")" -- "$cur"))
    return
  fi
  case $1 in
    pull) COMPREPLY=($(compgen -W "docker:// oci: oci-archive: docker-archive:" -- "$cur")) ;;
    rmi|rm|inspect|history|tag|save|disk)
      COMPREPLY=($(compgen -W "$(_caisson_images)" -- "$cur")) ;;
  esac
}

_caisson_volume() {
  local cur=$2 options="--help"
  if [[ $cur == -* ]]; then
    case $1 in
      create) options+=" --size -l --label --json" ;;
      ls) options+=" -q --quiet --json" ;;
      rm) options+=" -f --force" ;;
      prune) options+=" -a --all -f --force --grace --json" ;;
    esac
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ $1 == rm || $1 == inspect ]]; then
    COMPREPLY=($(compgen -W "$(caisson volume ls -q 2>/dev/null)" -- "$cur"))
  fi
}

_caisson() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  local commands="run create start exec attach ps inspect logs stats top wait pause resume hibernate stop kill rm
    snapshot restore fork diff volume vm cp commit export import events audit health metrics pull images rmi image prune login logout doctor profile debug completion version help"
  local box_options="-f --file --name --isolation -e --env --env-file -w --workdir -u --user --group-add
    --pull --platform --rootfs --entrypoint -q --quiet --hostname --mount -v --volume --tmpfs
    --allow-ro --allow-rw --allow-read --allow-write --allow-exec --allow-connect-port
    --allow-bind-port --protect --no-default-protect --read-only --writable -m --memory --cpus
    --cpu-weight --pids --pids-limit --timeout --cpu-time --open-files --ulimit --file-size --output-limit --disk
    --disk-bps --disk-iops --kernel --cold --ready-timeout --tmpfs-size --network -d --detach -i --interactive -t --tty --init --rm -l --label --profile
    --cap-add --cap-drop --security --security-opt --stop-signal --idle-timeout --idle-action
    --max-lifetime --restart --health-cmd --health-interval --health-timeout
    --health-start-period --health-retries --replay --allow-missing --json --cidfile --help"
  local with_value=" --name --isolation -e --env --env-file -w --workdir -u --user --group-add
    --pull --platform --rootfs --entrypoint --hostname --mount -v --volume --tmpfs -m --memory --cpus --cpu-weight --pids --pids-limit
    --timeout --cpu-time --open-files --ulimit --file-size --output-limit --disk --tmpfs-size
    --disk-bps --disk-iops --kernel --ready-timeout
    --allow-ro --allow-rw --allow-read --allow-write --allow-exec --allow-connect-port
    --allow-bind-port --protect --cap-add --cap-drop --security-opt --file
    --network -l --label --profile --security --stop-signal --idle-timeout --idle-action
    --max-lifetime --restart --health-cmd --health-interval --health-timeout --health-start-period
    --health-retries --replay --exec --message --interval --iterations --output --input
    --allow-missing --cidfile -m --note -n --count --snapshot --since --tail
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
      COMPREPLY=($(compgen -W "plan --help" -- "$cur"))
      return
    fi
    first=3
  fi

  if [[ $command == vm ]]; then
    case $COMP_CWORD,${COMP_WORDS[2]} in
      2,*) COMPREPLY=($(compgen -W "warm ls prune --help" -- "$cur")); return ;;
      *,ls) COMPREPLY=($(compgen -W "-q --quiet --json --help" -- "$cur")); return ;;
      *,prune) COMPREPLY=($(compgen -W "-f --force --json --help" -- "$cur")); return ;;
    esac
    command=create first=3
  fi

  if [[ $prev == -f && $command =~ ^(run|create|debug)$ ]]; then
    COMPREPLY=($(compgen -f -- "$cur"))
    return
  fi
  case $prev in
    --pull) COMPREPLY=($(compgen -W "missing always never" -- "$cur")); return ;;
    --platform) COMPREPLY=($(compgen -W "linux/amd64 linux/arm64" -- "$cur")); return ;;
    --rootfs) COMPREPLY=($(compgen -W "overlay merged disk" -- "$cur")); return ;;
    --filter)
      if [[ $command == images || $command == image ]]; then
        COMPREPLY=($(compgen -W "reference= dangling=true dangling=false" -- "$cur"))
      fi
      return ;;
    --idle-action) COMPREPLY=($(compgen -W "pause stop" -- "$cur")); return ;;
    --restart) COMPREPLY=($(compgen -W "no on-failure always" -- "$cur")); return ;;
    --network) COMPREPLY=($(compgen -W "none host" -- "$cur")); return ;;
    --profile) COMPREPLY=($(compgen -W "minimal standard full" -- "$cur")); return ;;
    --isolation) COMPREPLY=($(compgen -W "host process container microvm" -- "$cur")); return ;;
    --security|--security-opt)
      COMPREPLY=($(compgen -W "seccomp=unconfined seccomp= no-new-privileges no-new-privileges=false" \
        -- "$cur"))
      return ;;
    --cap-add|--cap-drop)
      COMPREPLY=($(compgen -W "ALL CHOWN DAC_OVERRIDE KILL MKNOD NET_ADMIN NET_RAW SYS_ADMIN SYS_PTRACE" \
        -- "$cur"))
      return ;;
    --allow-ro|--allow-rw|--allow-read|--allow-write|--allow-exec|--file|--env-file|--cidfile)
      COMPREPLY=($(compgen -f -- "$cur")); return ;;
    -w|--workdir) return ;;
    -s|--signal|--stop-signal)
      COMPREPLY=($(compgen -W "HUP INT QUIT KILL USR1 USR2 TERM CONT STOP" -- "$cur")); return ;;
  esac

  # The first argument that is neither an option nor an option's value.
  local i argument=0
  for (( i = first; i < COMP_CWORD; i++ )); do
    if [[ ${COMP_WORDS[i]} == -* ]]; then
      if [[ $with_value == *" ${COMP_WORDS[i]} "* ]] ||
         [[ $command == stop && ${COMP_WORDS[i]} == -t ]] ||
         [[ $command =~ ^(run|create|debug)$ && ${COMP_WORDS[i]} == -f ]]; then (( i++ )); fi
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
        COMPREPLY=($(compgen -W "host: dir: oci: oci-archive: docker-archive: docker://
          $(_caisson_images)" -- "$cur"))
      fi ;;
    exec)
      if (( argument )); then
        COMPREPLY=($(compgen -c -f -- "$cur"))
      elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "-i --interactive -t --tty -d --detach -e --env --env-file -w
          --workdir -u --user --timeout --output-limit --replay --json --help" -- "$cur"))
      else
        COMPREPLY=($(compgen -W "$(_caisson_boxes)" -- "$cur"))
      fi ;;
    start|attach|inspect|logs|stats|top|wait|pause|resume|hibernate|stop|kill|rm|restore|fork|diff|events|audit)
      if [[ $cur == -* ]]; then
        local options="--help"
        case $command in
          start) options+=" -a --attach -i --interactive" ;;
          attach) options+=" --exec --replay --no-stdin" ;;
          top) options+=" --interval -n --iterations" ;;
          stats) options+=" --json" ;;
          fork) options+=" -n --count --snapshot --no-start" ;;
          diff) options+=" --since" ;;
          events) options+=" --since --no-follow --json" ;;
          audit) options+=" --verify" ;;
          logs) options+=" -f --follow --since -n --tail -t --timestamps" ;;
          stop) options+=" -t --time" ;;
          kill) options+=" -s --signal" ;;
          rm) options+=" -f --force" ;;
        esac
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
      elif [[ $command == attach || $command == stats || $command == top || $command == stop || $command == kill ]]; then
        COMPREPLY=($(compgen -W "$(_caisson_boxes)" -- "$cur"))
      else
        COMPREPLY=($(compgen -W "$(_caisson_boxes -a)" -- "$cur"))
      fi ;;
    pull|images|rmi|prune|login|logout) _caisson_image "$command" "$cur" ;;
    snapshot)
      if (( COMP_CWORD == 2 )); then
        COMPREPLY=($(compgen -W "create ls inspect rm --help" -- "$cur"))
      elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "-m --note --memory -q --quiet --json --help" -- "$cur"))
      else
        COMPREPLY=($(compgen -W "$(_caisson_boxes -a)" -- "$cur"))
      fi ;;
    profile)
      if (( COMP_CWORD == 2 )); then
        COMPREPLY=($(compgen -W "ls show --help" -- "$cur"))
      elif [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "--json --help" -- "$cur"))
      elif [[ ${COMP_WORDS[2]} == show ]]; then
        COMPREPLY=($(compgen -W "minimal standard full" -- "$cur"))
      fi ;;
    volume)
      if (( COMP_CWORD == 2 )); then
        COMPREPLY=($(compgen -W "create ls inspect rm prune --help" -- "$cur"))
      else
        _caisson_volume "${COMP_WORDS[2]}" "$cur"
      fi ;;
    image)
      if (( COMP_CWORD == 2 )); then
        COMPREPLY=($(compgen -W "ls pull rm inspect history tag load save prune fsck disk --help" \
          -- "$cur"))
      else
        _caisson_image "${COMP_WORDS[2]}" "$cur"
      fi ;;
    cp)
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "-a --archive -L --follow-link -q --quiet --help" -- "$cur"))
      else
        COMPREPLY=($(compgen -f -- "$cur") $(compgen -S : -W "$(_caisson_boxes -a)" -- "$cur"))
      fi ;;
    commit|export)
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "-m --message -o --output --help" -- "$cur"))
      elif [[ $prev == -o || $prev == --output ]]; then
        COMPREPLY=($(compgen -f -- "$cur"))
      else
        COMPREPLY=($(compgen -W "$(_caisson_boxes -a)" -- "$cur"))
      fi ;;
    import)
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "-i --input --name --trust --help" -- "$cur"))
      else
        COMPREPLY=($(compgen -f -- "$cur"))
      fi ;;
    health) COMPREPLY=($(compgen -W "--json --help" -- "$cur")) ;;
    doctor) COMPREPLY=($(compgen -W "--fresh --without --json --help" -- "$cur")) ;;
    metrics) COMPREPLY=($(compgen -W "--help" -- "$cur")) ;;
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
